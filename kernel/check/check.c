/* Random layers against the formula of SPEC 0.4, on whole numbers: equal to the last bit. `check SEED COUNT`, exit status 1 where one differs;
   prints how many, and the bytes of the vectors in use besides those of 16.
   Made to run under sanitizers: every array has a piece of memory of its own, of its exact size. */
#include <stdio.h>
#include <string.h>
#include "../src/half.h"
#include "../src/windows.h"

static uint64_t state;

static int64_t draw(int64_t from, int64_t to) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return from + (int64_t)((state >> 33) % (uint64_t)(to - from + 1));
}

static int size_of(int format) { return format == LCL_FLOAT64 ? 8 : format == LCL_FLOAT32 ? 4 : 2; }

static double get(const void *a, int format, int64_t at) {
    if (format == LCL_BFLOAT16) return (double)from_bf16(((const uint16_t *)a)[at]);
    if (format == LCL_FLOAT16) return (double)from_f16(((const uint16_t *)a)[at]);
    return format == LCL_FLOAT32 ? (double)((const float *)a)[at] : ((const double *)a)[at];
}

static void set(void *a, int format, int64_t at, double value) {
    if (format == LCL_BFLOAT16) ((uint16_t *)a)[at] = to_bf16((float)value);
    else if (format == LCL_FLOAT16) ((uint16_t *)a)[at] = to_f16((float)value);
    else if (format == LCL_FLOAT32) ((float *)a)[at] = (float)value;
    else ((double *)a)[at] = value;
}

static void *drawn(int format, int64_t count) {
    void *a = malloc((size_t)(count * size_of(format)));
    for (int64_t i = 0; i < count; i++) set(a, format, i, (double)draw(-3, 3));
    return a;
}

static void random_layer(lcl_layer *s) {
    int64_t groups = draw(0, 2) ? 1 : draw(2, 3), most_outputs = (int64_t[]){24, 24, 48, 300}[draw(0, 3)];
    *s = (lcl_layer){.groups = groups, .group_channels = draw(1, 40), .outputs = groups * draw(1, most_outputs)};
    s->channels = groups * s->group_channels;
    for (int axis = 0; axis < 3; axis++)
        do {
            int line = draw(0, 2) == 0;
            s->input[axis] = line ? 1 : draw(1, 7), s->kernel[axis] = line ? 1 : draw(1, 4), s->stride[axis] = draw(1, 3);
            s->dilation[axis] = draw(1, 2), s->lo[axis] = line ? 0 : draw(0, 3), s->shared[axis] = draw(0, 3) == 0;
            int64_t padded = s->input[axis] + s->lo[axis] + (line ? 0 : draw(0, 2));
            s->output[axis] = (padded - s->dilation[axis] * (s->kernel[axis] - 1) - 1 + s->stride[axis]) / s->stride[axis];
            if (padded < s->dilation[axis] * (s->kernel[axis] - 1) + 1) s->output[axis] = 0;
        } while (s->output[axis] < 1);
    if (draw(0, 3) == 0) { /* as a table: any channels */
        int32_t *table = malloc(sizeof(int32_t) * (size_t)(s->group_channels * s->outputs));
        for (int64_t i = 0; i < s->group_channels * s->outputs; i++) table[i] = (int32_t)draw(0, s->channels - 1);
        s->table = table, s->groups = 1;
    }
}

/* Adds every term of the formula to y, dx and dw, which hold doubles. */
static void formula(const lcl_layer *s, int format, int64_t batch, const void *x, const void *w, const void *dy, double *y, double *dx, double *dw) {
    int64_t box[3][2] = {{0, s->output[0]}, {0, s->output[1]}, {0, s->output[2]}}, taps[3][2] = {{0, s->kernel[0]}, {0, s->kernel[1]}, {0, s->kernel[2]}};
    int64_t o[3] = {0}, k[3] = {0}, width = s->outputs / s->groups;
    do do {
            int64_t site = 0, tap = 0, inside = 1;
            for (int axis = 0; axis < 3; axis++) {
                int64_t i = o[axis] * s->stride[axis] + k[axis] * s->dilation[axis] - s->lo[axis];
                inside = inside && i >= 0 && i < s->input[axis];
                site = site * s->input[axis] + i, tap = tap * s->kernel[axis] + k[axis];
            }
            for (int64_t n = 0; n < (inside ? batch : 0); n++)
                for (int64_t c = 0; c < s->group_channels; c++)
                    for (int64_t f = 0; f < s->outputs; f++) {
                        int64_t channel = s->table ? s->table[c * s->outputs + f] : f / width * s->group_channels + c;
                        int64_t at_x = n * x_size(s) + site * s->channels + channel, at_y = n * y_size(s) + flat(s, o) * s->outputs + f;
                        int64_t at_w = weight_of(s, o) * weight_size(s) + (tap * s->group_channels + c) * s->outputs + f;
                        y[at_y] += get(x, format, at_x) * get(w, format, at_w), dx[at_x] += get(dy, format, at_y) * get(w, format, at_w);
                        dw[at_w] += get(x, format, at_x) * get(dy, format, at_y);
                    }
        } while (next(k, taps));
    while (next(o, box));
}

/* Sums are whole numbers that float32 holds: a half format rounds them once. */
static int differs(const char *name, int format, const void *found, const double *expected, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        double right;
        set(&right, format, 0, expected[i]), right = get(&right, format, 0);
        if (get(found, format, i) != right) return printf("%s[%ld]: %g, not %g\n", name, (long)i, get(found, format, i), right), 1;
    }
    return 0;
}

/* A pool of one thread, which does the work of all. */
static void alone(void (*work)(void *), void *data, unsigned threads, unsigned flags) {
    for (unsigned number = flags; number < threads; number++) work(data);
}

static int one(int most) {
    lcl_threads threads = {most, most > 2 ? alone : NULL};
    lcl_layer s;
    random_layer(&s);
    int formats[] = {LCL_FLOAT32, LCL_FLOAT64, LCL_FLOAT16, LCL_BFLOAT16}, format = formats[draw(0, s.table ? 1 : 3)], wrong;
    int wholly = size_of(format) > 2 || !(s.shared[0] || s.shared[1] || s.shared[2]);
    int64_t batch = draw(0, 4) ? draw(0, 9) : draw(30, 140), nx = batch * x_size(&s), ny = batch * y_size(&s), nw = weights(&s) * weight_size(&s);
    if ((double)ny * (double)fan_in(&s) > 3e6) return free((void *)s.table), one(most); /* too large to be quick: another */
    void *x = drawn(format, nx), *w = drawn(format, nw), *dy = drawn(format, ny), *y = drawn(format, ny), *dx = drawn(format, nx), *dw = drawn(format, nw);
    void *db = drawn(format, y_size(&s));
    double *sums = calloc((size_t)(nx + ny + nw + y_size(&s) + 1), sizeof(double)), *bias_sums = sums + nx + ny + nw;
    for (int64_t i = 0; i < ny; i++) bias_sums[i % y_size(&s)] += get(dy, format, i);
    formula(&s, format, batch, x, w, dy, sums, sums + ny, sums + ny + nx);
    wrong = lcl_output(&s, format, batch, x, w, NULL, 0, y, threads) || lcl_input_gradient(&s, format, batch, dy, w, dx, threads) ||
            (wholly && lcl_weight_gradient(&s, format, batch, x, dy, dw, db, threads));
    wrong = wrong || differs("y", format, y, sums, ny) || differs("dx", format, dx, sums + ny, nx) ||
            (wholly && (differs("dw", format, dw, sums + ny + nx, nw) || differs("db", format, db, bias_sums, y_size(&s))));
    free(x), free(w), free(dy), free(y), free(dx), free(dw), free(db), free(sums), free((void *)s.table);
    return wrong;
}

int main(int count, char **words) {
    int layers = count > 2 ? atoi(words[2]) : 100;
    for (int number = 0; number < layers; number++) {
        state = (uint64_t)atoi(count > 1 ? words[1] : "1") * 1000003u + (uint64_t)number;
        lcl_vector_bytes(number % 2 ? 64 : 16);
        if (one(1 + number % 4)) return printf("layer %d\n", number), 1;
    }
    return printf("%d layers, %d bytes\n", layers, lcl_vector_bytes(64)), 0;
}
