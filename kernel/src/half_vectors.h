/* The half formats of half.h, a vector of floats at a time. */

typedef uint16_t NAME(halves) __attribute__((vector_size(VECTOR / 2), aligned(sizeof(uint16_t)), may_alias));
typedef uint32_t NAME(bits) __attribute__((vector_size(VECTOR)));

INLINE V NAME(load_bf16)(const uint16_t *at) { return (V)(__builtin_convertvector(*(const NAME(halves) *)at, NAME(bits)) << 16); }

INLINE void NAME(store_bf16)(uint16_t *at, V numbers) {
    NAME(bits) bits = (NAME(bits))numbers, none = (NAME(bits))(numbers != numbers);
    bits = ((bits | 0x400000u) & none) | ((bits + 0x7fffu + (bits >> 16 & 1u)) & ~none);
    *(NAME(halves) *)at = __builtin_convertvector(bits >> 16u, NAME(halves));
}

#if VECTOR >= 32 /* F16C, eight numbers at a time */
INLINE float NAME(one_f16)(uint16_t half) { return _cvtsh_ss(half); }
INLINE V NAME(load_f16)(const uint16_t *at) {
    V numbers;
    for (int i = 0; i < VECTOR / 32; i++) _mm256_storeu_ps((float *)&numbers + 8 * i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(at + 8 * i))));
    return numbers;
}
INLINE void NAME(store_f16)(uint16_t *at, V numbers) {
    const float *from = (const float *)&numbers;
    for (int i = 0; i < VECTOR / 32; i++) _mm_storeu_si128((void *)(at + 8 * i), _mm256_cvtps_ph(_mm256_loadu_ps(from + 8 * i), 0));
}
#else
INLINE float NAME(one_f16)(uint16_t half) { return from_f16(half); }
INLINE V NAME(load_f16)(const uint16_t *at) { return (V){from_f16(at[0]), from_f16(at[1]), from_f16(at[2]), from_f16(at[3])}; }
INLINE void NAME(store_f16)(uint16_t *at, V numbers) {
    for (int i = 0; i < 4; i++) at[i] = to_f16(numbers[i]);
}
#endif
