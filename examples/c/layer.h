/* The layer of SPEC.md on flat arrays in C order, for every rank up to 3. Sums are kept in double precision. */
#ifndef LCL_LAYER_H
#define LCL_LAYER_H

#define MAX_RANK 3

typedef struct {
    int rank;
    long input[MAX_RANK], kernel[MAX_RANK], stride[MAX_RANK], dilation[MAX_RANK], padding[2 * MAX_RANK];
    long shared[MAX_RANK], output[MAX_RANK];
    long in_channels, out_channels, groups, cg;
    long inputs, taps, positions; /* products of input, kernel and output */
    const long *table;            /* (out_channels, cg) input channels, or NULL for groups */
    int bias_per_position;
} Layer;

/* Fill in the fields that follow from the others. */
void layer_complete(Layer *layer);

void forward(const Layer *layer, long batch, const double *x, const double *weight, const double *bias, double *y);
void transpose(const Layer *layer, long batch, const double *y, const double *weight, double *xt);
void weight_cotangent(const Layer *layer, long batch, const double *x, const double *dy, double *dw);
void bias_cotangent(const Layer *layer, long batch, const double *dy, double *db);

#endif
