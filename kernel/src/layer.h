/* What the caller says of a layer. Tensors are canonical and in C order: x (n, i*, ci), weight (o*, k*, cg, co), y (n, o*, co). */
#ifndef LCL_LAYER_H
#define LCL_LAYER_H

#include <stdint.h>

typedef struct {
    int64_t channels, group_channels, outputs, groups;
    /* One entry per axis, of 1 (and padding 0) before the first axis of a layer of lower rank. */
    int64_t input[3], output[3], kernel[3], stride[3], dilation[3], lo[3], shared[3];
    /* The input channel of weight channel c and output f is at c*outputs + f; NULL where groups say it. Needed where groups are thin. */
    const int32_t *table;
} lcl_layer;

/* Up to `most` threads. `pool` runs `work(data)` on so many at once, the caller's among them, and returns when all have: GOMP_parallel of
   the OpenMP that the caller computes with, whose threads would otherwise be in the way of others; NULL if there is none. */
typedef struct {
    int64_t most;
    void (*pool)(void (*work)(void *), void *data, unsigned threads, unsigned flags);
} lcl_threads;

/* Formats: bits of a number, where one format has so many. Those of 16 bits are summed in float32 and rounded once; they are for layers without
   a table, and without shared axes in the gradient of the weight. */
enum { LCL_BFLOAT16 = 1, LCL_FLOAT16 = 16, LCL_FLOAT32 = 32, LCL_FLOAT64 = 64 };

/* Each returns 0, or 1 where memory is missing. Bias is (o*, co), (co,) or NULL; db is (o*, co) or NULL. */
int lcl_output(const lcl_layer *, int format, int64_t batch, const void *x, const void *weight, const void *bias,
               int bias_per_position, void *y, lcl_threads);
int lcl_input_gradient(const lcl_layer *, int format, int64_t batch, const void *dy, const void *weight, void *dx, lcl_threads);
int lcl_weight_gradient(const lcl_layer *, int format, int64_t batch, const void *x, const void *dy, void *dw, void *db, lcl_threads);
/* The widest vectors in use, in bytes; `most` limits them from then on, for tests. */
int lcl_vector_bytes(int most);

#endif
