/* Arrays in .safetensors files, as doubles in memory; the machine is little-endian, like the format. */
#ifndef LCL_TENSORS_H
#define LCL_TENSORS_H

#include <stddef.h>

#define MAX_AXES 9
#define MAX_TENSORS 4

typedef struct {
    char name[16];
    int axes;
    long shape[MAX_AXES];
    size_t size; /* elements */
    double *data;
} Tensor;

/* Allocate zeros of a shape. */
Tensor tensor(const char *name, int axes, const long *shape);

/* Read every array of a file (F32 or F64); return how many, or -1. */
int tensors_read(const char *path, Tensor out[MAX_TENSORS]);

/* Write arrays to a file as F32, rounding each number once, or as F64; return 1, or 0 on failure. */
int tensors_write(const char *path, const Tensor *tensors, int count, const char *dtype);

void tensors_free(Tensor *tensors, int count);

#endif
