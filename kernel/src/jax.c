/* The doors for JAX, by the foreign-function interface of XLA; compiled where JAX is installed, whose header declares it.

   A call carries all that is needed as attributes, no address, so that a compiled program may be stored: `layer`, the numbers of
   lcl_layer in their order and then the threads, and `table`, of one number where there is none. */
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "layer.h"
#include "xla/ffi/api/c_api.h"

enum {
    NUMBERS = offsetof(lcl_layer, table) / sizeof(int64_t),
    HUGE_BYTES = 2 << 20, /* Results of so many bytes ask for huge pages, which are as large. */
    CLOSED = -1
};

static const XLA_FFI_Array *attribute(const XLA_FFI_CallFrame *frame, const char *name) {
    for (int64_t i = 0; i < frame->attrs.size; i++) {
        const XLA_FFI_ByteSpan *found = frame->attrs.names[i];
        int same = found->len == strlen(name) && !memcmp(found->ptr, name, found->len);
        if (same && frame->attrs.types[i] == XLA_FFI_AttrType_ARRAY) return frame->attrs.attrs[i];
    }
    return NULL;
}

static XLA_FFI_Error *error(const XLA_FFI_CallFrame *frame, XLA_FFI_Error_Code code, const char *message) {
    XLA_FFI_Error_Create_Args made = {.struct_size = XLA_FFI_Error_Create_Args_STRUCT_SIZE, .message = message, .errc = code};
    return frame->api->XLA_FFI_Error_Create(&made);
}

/* Answers the question of XLA which version of its interface this was compiled for; returns whether it was asked. */
static int version(const XLA_FFI_CallFrame *frame) {
    XLA_FFI_Extension_Base *asked = frame->extension_start;
    if (!asked || asked->type != XLA_FFI_Extension_Metadata) return 0;
    XLA_FFI_Metadata *told = ((XLA_FFI_Metadata_Extension *)asked)->metadata;
    told->api_version.major_version = XLA_FFI_API_MAJOR, told->api_version.minor_version = XLA_FFI_API_MINOR;
    return 1;
}

/* Work that threads of XLA are asked to join. They come when they are free, perhaps after it is done: so the last of its `owners`, the caller
   and those asked, frees it. `inside` says how many are at work, or CLOSED: nobody enters any more. */
typedef struct {
    void (*work)(void *);
    void *data;
    atomic_int inside, owners;
} crew;

static void disown(crew *c) {
    if (atomic_fetch_sub(&c->owners, 1) == 1) free(c);
}

static void join(void *given) {
    crew *c = given;
    int inside = 0;
    while (inside != CLOSED && !atomic_compare_exchange_weak(&c->inside, &inside, inside + 1)) {}
    if (inside != CLOSED) c->work(c->data), atomic_fetch_sub(&c->inside, 1);
    disown(c);
}

/* The call that this thread answers, for `pool`. */
static _Thread_local const XLA_FFI_CallFrame *here;

/* Asks XLA to run `join` on a thread of its own; returns whether it will. */
static int ask(crew *c) {
    XLA_FFI_ThreadPool_Schedule_Args asked = {.struct_size = XLA_FFI_ThreadPool_Schedule_Args_STRUCT_SIZE, .ctx = here->ctx, .task = join, .data = c};
    XLA_FFI_Error *failed = here->api->XLA_FFI_ThreadPool_Schedule(&asked);
    XLA_FFI_Error_Destroy_Args gone = {.struct_size = XLA_FFI_Error_Destroy_Args_STRUCT_SIZE, .error = failed};
    if (failed) here->api->XLA_FFI_Error_Destroy(&gone);
    return !failed;
}

/* XLA's threads as a pool of `lcl_threads`: those that are free take part, and the caller, who does all that they leave, waits for no other. */
static void pool(void (*work)(void *), void *data, unsigned threads, unsigned flags) {
    crew *c = malloc(sizeof *c);
    (void)flags;
    if (c) *c = (crew){.work = work, .data = data, .owners = (int)threads};
    for (unsigned number = 1; c && number < threads; number++)
        if (!ask(c)) disown(c);
    work(data);
    if (!c) return;
    for (int none = 0; !atomic_compare_exchange_strong(&c->inside, &none, CLOSED); none = 0) sched_yield();
    disown(c);
}

/* Asks for huge pages for a large result: XLA's memory is fresh, and the first write to each page takes longer than the arithmetic. */
static void prepare(void *result, size_t bytes) {
#ifdef MADV_HUGEPAGE
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)result + page - 1) / page * page;
    if (bytes >= HUGE_BYTES) madvise((void *)from, ((uintptr_t)result + bytes - from) / page * page, MADV_HUGEPAGE);
#else
    (void)result, (void)bytes;
#endif
}

static int format_of(XLA_FFI_DataType type) {
    if (type == XLA_FFI_DataType_BF16) return LCL_BFLOAT16;
    if (type == XLA_FFI_DataType_F16) return LCL_FLOAT16;
    return type == XLA_FFI_DataType_F64 ? LCL_FLOAT64 : LCL_FLOAT32;
}

typedef int product(const lcl_layer *, int format, int64_t batch, const XLA_FFI_Args *, void *result, lcl_threads);

/* Answers a call by a product of `operands`. */
static XLA_FFI_Error *answered(const XLA_FFI_CallFrame *frame, product *compute, int64_t operands) {
    if (version(frame) || frame->stage != XLA_FFI_ExecutionStage_EXECUTE) return NULL;
    const XLA_FFI_Array *numbers = attribute(frame, "layer"), *table = attribute(frame, "table");
    if (!numbers || numbers->size != NUMBERS + 1 || !table || frame->args.size != operands || frame->rets.size != 1)
        return error(frame, XLA_FFI_Error_Code_INVALID_ARGUMENT, "lcl-ref-kernel: another version of lcl-ref made this call");
    const XLA_FFI_Buffer *first = frame->args.args[0], *result = frame->rets.rets[0];
    lcl_layer layer;
    memcpy(&layer, numbers->data, NUMBERS * sizeof(int64_t));
    layer.table = table->size > 1 ? table->data : NULL;
    int format = format_of(first->dtype);
    size_t bytes = format == LCL_FLOAT64 ? 8 : format == LCL_FLOAT32 ? 4 : 2;
    for (int64_t axis = 0; axis < result->rank; axis++) bytes *= (size_t)result->dims[axis];
    prepare(result->data, bytes);
    here = frame;
    lcl_threads threads = {((const int64_t *)numbers->data)[NUMBERS], pool};
    if (compute(&layer, format, first->dims[0], &frame->args, result->data, threads))
        return error(frame, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, "lcl-ref-kernel: no memory for its threads");
    return NULL;
}

static const XLA_FFI_Buffer *argument(const XLA_FFI_Args *args, int number) { return args->args[number]; }

static int output(const lcl_layer *s, int format, int64_t batch, const XLA_FFI_Args *args, void *y, lcl_threads threads) {
    return lcl_output(s, format, batch, argument(args, 0)->data, argument(args, 1)->data, NULL, 0, y, threads);
}

static int biased_output(const lcl_layer *s, int format, int64_t batch, const XLA_FFI_Args *args, void *y, lcl_threads threads) {
    const XLA_FFI_Buffer *bias = argument(args, 2);
    return lcl_output(s, format, batch, argument(args, 0)->data, argument(args, 1)->data, bias->data, bias->rank > 1, y, threads);
}

static int input_gradient(const lcl_layer *s, int format, int64_t batch, const XLA_FFI_Args *args, void *dx, lcl_threads threads) {
    return lcl_input_gradient(s, format, batch, argument(args, 0)->data, argument(args, 1)->data, dx, threads);
}

static int weight_gradient(const lcl_layer *s, int format, int64_t batch, const XLA_FFI_Args *args, void *dw, lcl_threads threads) {
    return lcl_weight_gradient(s, format, batch, argument(args, 0)->data, argument(args, 1)->data, dw, NULL, threads);
}

XLA_FFI_Error *lcl_jax_output(XLA_FFI_CallFrame *frame) { return answered(frame, output, 2); }
XLA_FFI_Error *lcl_jax_biased_output(XLA_FFI_CallFrame *frame) { return answered(frame, biased_output, 3); }
XLA_FFI_Error *lcl_jax_input_gradient(XLA_FFI_CallFrame *frame) { return answered(frame, input_gradient, 2); }
XLA_FFI_Error *lcl_jax_weight_gradient(XLA_FFI_CallFrame *frame) { return answered(frame, weight_gradient, 2); }
