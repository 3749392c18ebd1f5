#include "layer.h"

static long product(const long *sizes, int rank) {
    return rank ? sizes[0] * product(sizes + 1, rank - 1) : 1;
}

void layer_complete(Layer *l) {
    for (int a = 0; a < l->rank; a++) { /* 1.2 */
        long padded = l->input[a] + l->padding[2 * a] + l->padding[2 * a + 1];
        l->output[a] = (padded - l->dilation[a] * (l->kernel[a] - 1) - 1) / l->stride[a] + 1;
    }
    l->inputs = product(l->input, l->rank);
    l->taps = product(l->kernel, l->rank);
    l->positions = product(l->output, l->rank);
}

/* The input site that tap k of position o reads, or -1 outside the input; and the weight block of the position. */
static long site(const Layer *l, long o, long k, long *block) {
    long i = 0, i_step = 1, block_step = 1;
    *block = 0;
    for (int a = l->rank - 1; a >= 0; a--) {
        long position = o % l->output[a], tap = k % l->kernel[a];
        long at = position * l->stride[a] + tap * l->dilation[a] - l->padding[2 * a]; /* 1.1 */
        if (at < 0 || at >= l->input[a]) return -1;                                   /* 7.1 */
        i += at * i_step;
        i_step *= l->input[a];
        if (!l->shared[a]) { /* 5.1 */
            *block += position * block_step;
            block_step *= l->output[a];
        }
        o /= l->output[a];
        k /= l->kernel[a];
    }
    return i;
}

typedef enum { TO_Y, TO_X, TO_WEIGHT } Target;

/* Every term of the layer, "the whole layer in one line" of SPEC.md, added to one of its three arrays. */
static void add_terms(const Layer *l, long batch, Target target, double *x, double *w, double *y) {
    long ci = l->in_channels, co = l->out_channels, width = co / l->groups;
    for (long o = 0; o < l->positions; o++) {
        for (long k = 0; k < l->taps; k++) {
            long block, i = site(l, o, k, &block);
            if (i < 0) continue;
            for (long c = 0; c < l->cg; c++) {
                for (long f = 0; f < co; f++) {
                    long channel = l->table ? l->table[f * l->cg + c] : f / width * l->cg + c; /* 4.1 */
                    double *weight = w + ((block * l->taps + k) * l->cg + c) * co + f;
                    for (long n = 0; n < batch; n++) {
                        double *in = x + (n * l->inputs + i) * ci + channel, *out = y + (n * l->positions + o) * co + f;
                        if (target == TO_Y) *out += *in * *weight;
                        else if (target == TO_X) *in += *out * *weight; /* 9.1 */
                        else *weight += *in * *out;                     /* 9.2 */
                    }
                }
            }
        }
    }
}

void forward(const Layer *l, long batch, const double *x, const double *weight, const double *bias, double *y) {
    long each = l->positions * l->out_channels;
    for (long at = 0; bias && at < batch * each; at++)
        y[at] = bias[at % (l->bias_per_position ? each : l->out_channels)];
    add_terms(l, batch, TO_Y, (double *)x, (double *)weight, y);
}

void transpose(const Layer *l, long batch, const double *y, const double *weight, double *xt) { /* 9.4 */
    add_terms(l, batch, TO_X, xt, (double *)weight, (double *)y);
}

void weight_cotangent(const Layer *l, long batch, const double *x, const double *dy, double *dw) {
    add_terms(l, batch, TO_WEIGHT, (double *)x, dw, (double *)dy);
}

void bias_cotangent(const Layer *l, long batch, const double *dy, double *db) { /* 9.3 */
    long each = l->positions * l->out_channels;
    for (long at = 0; at < batch * each; at++) db[at % (l->bias_per_position ? each : l->out_channels)] += dy[at];
}
