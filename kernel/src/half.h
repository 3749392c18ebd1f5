/* The half formats, a number at a time: exact on the way in, one rounding to nearest even on the way out, and NaN stays NaN. */
#ifndef LCL_HALF_H
#define LCL_HALF_H

#include <stdint.h>
#include <string.h>

static inline float float_of(uint32_t bits) {
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static inline uint32_t bits_of(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static inline float from_bf16(uint16_t half) { return float_of((uint32_t)half << 16); }

static inline uint16_t to_bf16(float number) {
    uint32_t bits = bits_of(number);
    return (uint16_t)((number != number ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float from_f16(uint16_t half) {
    uint32_t sign = (half & 0x8000u) << 16, size = half & 0x7fffu;
    if (size >= 0x7c00) return float_of(sign | 0x7f800000 | size << 13);
    return float_of(sign | (size < 0x400 ? bits_of((float)size * 0x1p-24f) : (size << 13) + (112 << 23)));
}

static inline uint16_t to_f16(float number) {
    uint32_t sign = bits_of(number) >> 16 & 0x8000, size = bits_of(number) & 0x7fffffff;
    if (size > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (size >= bits_of(65520)) return (uint16_t)(sign | 0x7c00);
    if (size < bits_of(0x1p-14f)) return (uint16_t)(sign | (bits_of(float_of(size) + 0.5f) - bits_of(0.5f))); /* whose last bit is theirs */
    return (uint16_t)(sign | (size - (112 << 23) + 0xfff + (size >> 13 & 1)) >> 13);
}

#endif
