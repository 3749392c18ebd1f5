#include "tensors.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

Tensor tensor(const char *name, int axes, const long *shape) {
    Tensor made;
    strcpy(made.name, name);
    made.axes = axes;
    made.size = 1;
    for (int axis = 0; axis < axes; axis++) {
        made.shape[axis] = shape[axis];
        made.size *= (size_t)shape[axis];
    }
    made.data = calloc(made.size ? made.size : 1, sizeof *made.data);
    if (!made.data) {
        fprintf(stderr, "no memory for %s\n", name);
        exit(1);
    }
    return made;
}

/* One array out of the header entry `entry` and the bytes after the header; return 1, or 0. */
static int unpack(const char *name, const char *entry, const unsigned char *bytes, Tensor *out) {
    char dtype[8];
    long shape[MAX_AXES], offsets[2];
    if (!json_string(json_get(entry, "dtype"), dtype, sizeof dtype)) return 0;
    if (json_numbers(json_get(entry, "data_offsets"), offsets, 2) != 2) return 0;
    *out = tensor(name, json_numbers(json_get(entry, "shape"), shape, MAX_AXES), shape);
    bytes += offsets[0];
    if (!strcmp(dtype, "F64")) {
        memcpy(out->data, bytes, 8 * out->size);
        return 1;
    }
    for (size_t i = 0; i < out->size; i++) {
        float number;
        memcpy(&number, bytes + 4 * i, 4);
        out->data[i] = number;
    }
    return !strcmp(dtype, "F32");
}

static unsigned char *slurp(const char *path) {
    unsigned char *bytes = NULL;
    long size;
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    if (!fseek(file, 0, SEEK_END) && (size = ftell(file)) >= 8 && (bytes = malloc((size_t)size))) {
        rewind(file);
        if (fread(bytes, 1, (size_t)size, file) != (size_t)size) free(bytes), bytes = NULL;
    }
    fclose(file);
    return bytes;
}

int tensors_read(const char *path, Tensor out[MAX_TENSORS]) {
    unsigned char *bytes = slurp(path);
    char name[16];
    uint64_t header;
    int count = 0;
    if (!bytes) return -1;
    memcpy(&header, bytes, 8);
    const char *text = (const char *)bytes + 8;
    for (const char *entry = json_first(text, name, sizeof name); entry; entry = json_next(entry, name, sizeof name)) {
        if (!strcmp(name, "__metadata__")) continue;
        if (count == MAX_TENSORS || !unpack(name, entry, bytes + 8 + header, &out[count])) {
            tensors_free(out, count);
            count = -1;
            break;
        }
        count++;
    }
    free(bytes);
    return count;
}

int tensors_write(const char *path, const Tensor *tensors, int count, const char *dtype) {
    char header[1024];
    size_t width = strcmp(dtype, "F32") ? 8 : 4, used = 1, offset = 0;
    FILE *file = fopen(path, "wb");
    if (!file) return 0;
    header[0] = '{';
    for (const Tensor *t = tensors; t < tensors + count; t++) {
        const char *comma = t == tensors ? "" : ",";
        used += (size_t)sprintf(header + used, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", comma, t->name, dtype);
        for (int axis = 0; axis < t->axes; axis++)
            used += (size_t)sprintf(header + used, "%s%ld", axis ? "," : "", t->shape[axis]);
        size_t end = offset + width * t->size;
        used += (size_t)sprintf(header + used, "],\"data_offsets\":[%zu,%zu]}", offset, end);
        offset = end;
    }
    header[used++] = '}';
    uint64_t length = used;
    int good = fwrite(&length, 8, 1, file) == 1 && fwrite(header, 1, used, file) == used;
    for (const Tensor *t = tensors; t < tensors + count; t++) {
        for (size_t i = 0; i < t->size && good; i++) {
            float narrow = (float)t->data[i];
            good = fwrite(width == 4 ? (void *)&narrow : (void *)&t->data[i], width, 1, file) == 1;
        }
    }
    return !fclose(file) && good;
}

void tensors_free(Tensor *tensors, int count) {
    for (int i = 0; i < count; i++) free(tensors[i].data);
}
