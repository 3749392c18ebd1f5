/* The doors of the library: each shares its units among threads, and calls the kernels of the processor it runs on.

   Threads that no pool of the caller's gives are made for a call and end with it: the process is left as it was, and may fork. */
#define _GNU_SOURCE /* sched_getcpu */
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include "cores.h"
#include "half.h"
#include "job.h"

#define KIND base
#define TARGET
#define VECTOR 16
#if defined(__aarch64__)
#define ROWS 12
#else
#define ROWS 6
#endif
#include "formats.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define KIND avx2
#define TARGET __attribute__((target("avx2,fma,f16c")))
#define VECTOR 32
#define ROWS 6
#include "formats.h"

#define KIND avx512
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma,f16c")))
#define VECTOR 64
#define ROWS 12
#include "formats.h"
#endif

enum {
    THREADS = 256,
    MANY = 16,     /* Units that give threads enough to do, whatever their number, on which bits must not depend. */
    SUMS = 6 << 20 /* Bytes of a gradient of the input that is to be rounded. */
};

static atomic_int limit = 64;

#if defined(__x86_64__)
/* Whether the processor converts float16, which not every compiler's __builtin_cpu_supports answers. It is asked once: where it is a virtual one,
   an answer takes longer than a small layer. */
static int converts_f16(void) {
    static atomic_int known = -1;
    unsigned a, b, c = 0, d;
    if (known < 0) known = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    return known;
}
#endif

static const kernels *kernels_of(int format) {
#if defined(__x86_64__)
    if (limit >= 64 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && converts_f16())
        return kernels_of_avx512(format);
    if (limit >= 32 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && converts_f16()) return kernels_of_avx2(format);
#endif
    return kernels_of_base(format);
}

int lcl_vector_bytes(int most) {
    limit = most;
    return (int)kernels_of(LCL_FLOAT32)->vector;
}

/* So many bytes in whole lines of the cache. */
static size_t lines(size_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }

/* What each thread of a call is given. */
typedef struct {
    job *work;
    unit *todo;
    size_t scratch;
    pthread_t caller;
    cores used;
} share;

/* Takes units until there are none left; where it has no memory it leaves them to others. */
static void take(void *given) {
    share *mine = given;
    job *j = mine->work;
    void *scratch = aligned_alloc(LINE, mine->scratch);
    if (!scratch) return;
    for (long long first, end; (first = atomic_fetch_add(&j->taken, j->run)) < j->units; atomic_fetch_add(&j->done, end - first)) {
        end = least(first + j->run, j->units);
        for (long long number = first; number < end; number++) mine->todo(j, number, scratch);
    }
    free(scratch);
}

/* The same beside other threads. The caller lets in one that it woke on its own core, and that will find another. */
static void take_beside(void *given) {
    share *mine = given;
    spread(mine->used);
    if (pthread_equal(pthread_self(), mine->caller)) sched_yield();
    take(given);
}

/* The same for a thread of a pool, which waits for the others by spinning: perhaps on the core that one of them needs. */
static void take_in_pool(void *given) {
    job *j = ((share *)given)->work;
    take_beside(given);
    while (atomic_load(&j->taken) >= j->units && atomic_load(&j->done) < j->units) sched_yield();
}

static void *thread(void *given) {
    take_beside(given);
    return NULL;
}

/* Does all units, on threads of the caller's pool or else on new ones; returns 1 where no thread had memory. */
static int in_threads(job *j, unit *todo, size_t scratch, int64_t units, lcl_threads threads) {
    pthread_t others[THREADS];
    share all = {.work = j, .todo = todo, .scratch = lines(scratch), .caller = pthread_self()};
    int64_t wanted = least(least(threads.most, THREADS), units), made = 0;
    j->units = units, j->run = most(1, least(RUN, units / (TURNS * most(1, wanted))));
    atomic_store(&j->taken, 0), atomic_store(&j->done, 0);
    if (threads.pool && wanted > 1) {
        threads.pool(take_in_pool, &all, (unsigned)wanted, 0);
    } else {
        while (made < wanted - 1 && !pthread_create(&others[made], NULL, thread, &all)) made++;
        made ? take_beside(&all) : take(&all);
        while (made) pthread_join(others[--made], NULL);
    }
    return atomic_load(&j->taken) < units;
}

static size_t scratch_size(const kernels *of, const lcl_layer *s) {
    return lines(of->scratch + sizeof(run) * (size_t)runs_of(s, s->table ? s->group_channels : 32));
}

/* Groups of a unit: as many as read memory in pieces worth their while. */
static int64_t span(const lcl_layer *s) { return least(s->groups, up(SPAN, most(1, s->outputs / s->groups))); }

/* The same where a unit has a chunk of the samples only: all groups, if their weights of a position stay in a cache. */
static int64_t span_of_chunks(const lcl_layer *s) { return weight_size(s) <= WEIGHTS ? s->groups : span(s); }

/* Samples of a chunk, of `all`: few where a unit has several groups and all of them. */
static int64_t chunk(const job *j, int64_t all) { return most(1, j->layer->groups > 1 && j->span == j->layer->groups ? CHUNK : all); }

int lcl_output(const lcl_layer *s, int format, int64_t batch, const void *x, const void *weight, const void *bias, int bias_per_position,
               void *y, lcl_threads threads) {
    const kernels *of = kernels_of(format);
    job j = {.layer = s, .span = span_of_chunks(s), .batch = batch, .first = x, .second = weight, .result = y};
    int64_t width = s->outputs / s->groups;
    size_t scratch = scratch_size(of, s);
    j.bias = bias, j.bias_per_position = bias_per_position, j.samples = chunk(&j, batch), j.sums_at = (int64_t)scratch;
    if (of->round) j.samples = most(1, least(j.samples, ROOM / width)), scratch += of->number * (size_t)((j.samples + 1) * width);
    int64_t units = volume(s->output) * up(batch, j.samples) * spans(&j);
    return in_threads(&j, s->table ? of->thin_output : of->output, scratch, units, threads);
}

int lcl_weight_gradient(const lcl_layer *s, int format, int64_t batch, const void *x, const void *dy, void *dw, void *db,
                        lcl_threads threads) {
    const kernels *of = kernels_of(format);
    job j = {.layer = s, .span = span(s), .batch = batch, .first = x, .second = dy, .result = dw, .bias_gradient = db};
    int64_t units = weights(s) * spans(&j);
    return in_threads(&j, s->table ? of->thin_weight_gradient : of->weight_gradient, scratch_size(of, s), units, threads);
}

/* Unit: zeros in a slice of the result, whose bytes are `batch`. */
static void zero(const job *j, int64_t number, void *scratch) {
    (void)scratch;
    memset((char *)j->result + number * SLICE, 0, (size_t)least(SLICE, j->batch - number * SLICE));
}

/* Cuts positions into blocks, along the axis that gives most of them, so long that every second one shares no site with another; and the
   batch into chunks of as many samples as lie side by side in `SITES` bytes and give threads enough to do. Returns bytes of the sites. */
static int64_t cut(job *j, const kernels *of, int64_t threads) {
    const lcl_layer *s = j->layer;
    for (int axis = 0; axis < 3; axis++) {
        int64_t rows = most(1, up(extent(s, axis), s->stride[axis]) - 1), blocks = up(s->output[axis], rows);
        if (axis == 0 || blocks > j->blocks) j->axis = axis, j->rows = rows, j->blocks = blocks;
    }
    int64_t sites = least(s->input[j->axis], (j->rows - 1) * s->stride[j->axis] + extent(s, j->axis));
    int64_t number = (int64_t)of->number, lanes = (int64_t)of->vector / number;
    int64_t bytes = volume(s->input) / most(1, s->input[j->axis]) * sites * s->group_channels * number;
    for (j->samples = chunk(j, SAMPLES); j->samples > lanes; j->samples /= 2) {
        int64_t units = up(j->blocks, 2) * spans(j) * up(j->batch, j->samples);
        if (bytes * j->samples <= SITES && units >= (j->samples > 2 * lanes ? 4 * threads : threads)) break;
    }
    return bytes * j->samples;
}

/* Whether every site is seen by a position, where none is seen by two: then none is left to be made zero. */
static int all_seen(const lcl_layer *s) {
    for (int axis = 0; axis < 3; axis++) {
        int64_t size = s->kernel[axis], step = s->output[axis] > 1 ? s->stride[axis] : size;
        int64_t end = (s->output[axis] - 1) * step - s->lo[axis] + size;
        if (s->lo[axis] < 0 || end < s->input[axis] || step > size || extent(s, axis) > size) return 0;
    }
    return 1;
}

/* Whether no site is seen by two positions, and turning the weight costs less than turning so many samples. */
static int turns_weight(const lcl_layer *s, int64_t samples) {
    int64_t width = s->outputs / s->groups;
    for (int axis = 0; axis < 3; axis++)
        if (s->output[axis] > 1 && s->stride[axis] < extent(s, axis)) return 0;
    return !s->table && samples * (fan_in(s) + width) >= fan_in(s) * width;
}

/* Writes the gradient of the input in the format that is computed in. */
static int input_gradient(const lcl_layer *s, const kernels *of, int64_t batch, const void *dy, const void *weight, void *dx, lcl_threads threads) {
    int64_t bytes = batch * x_size(s) * (int64_t)of->number;
    job empty = {.batch = bytes, .result = dx};
    job j = {.layer = s, .span = span_of_chunks(s), .batch = batch, .first = dy, .second = weight, .result = dx};
    size_t scratch = scratch_size(of, s);
    j.samples = chunk(&j, batch), j.sums_at = (int64_t)scratch;
    int64_t all = volume(s->output) * spans(&j) * up(batch, j.samples);
    int own = of->own_sites && all >= MANY && turns_weight(s, j.samples);
    int failed = own && all_seen(s) ? 0 : in_threads(&empty, zero, LINE, up(bytes, SLICE), threads);
    if (own) return failed || in_threads(&j, of->own_sites, scratch, all, threads);
    int64_t sites = cut(&j, of, threads.most);
    for (; j.phase < 2 && !failed && batch; j.phase++) {
        int64_t units = (j.blocks + 1 - j.phase) / 2 * spans(&j) * up(batch, j.samples);
        failed = in_threads(&j, s->table ? of->thin_input_gradient : of->input_gradient, scratch + (s->table ? 0 : (size_t)sites), units, threads);
    }
    return failed;
}

int lcl_input_gradient(const lcl_layer *s, int format, int64_t batch, const void *dy, const void *weight, void *dx, lcl_threads threads) {
    const kernels *of = kernels_of(format);
    if (!of->round) return input_gradient(s, of, batch, dy, weight, dx, threads);
    int64_t bytes = x_size(s) * (int64_t)of->number, chunks = up(batch, most(1, SUMS / bytes)), samples = up(most(1, batch), most(1, chunks));
    void *sums = malloc((size_t)(samples * bytes));
    int failed = !sums;
    for (int64_t n = 0; n < batch && !failed; n += samples) { /* half formats: blocks meet in sums that are not rounded yet */
        samples = least(samples, batch - n);
        job rounded = {.batch = samples * x_size(s), .first = sums, .result = (uint16_t *)dx + n * x_size(s)};
        failed = input_gradient(s, of, samples, (const uint16_t *)dy + n * y_size(s), weight, sums, threads) ||
                 in_threads(&rounded, of->round, LINE, up(rounded.batch, SLICE), threads);
    }
    free(sums);
    return failed;
}
