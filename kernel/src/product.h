/* Products of small matrices in one number format T and vectors V of L numbers: the only place where time is spent.
   Included once per format and kind of processor; NAME and TARGET tell the copies apart. */

typedef T NAME(vector) __attribute__((vector_size(VECTOR), aligned(sizeof(T)), may_alias));
#define V NAME(vector)
#define L ((int64_t)(VECTOR / sizeof(T)))
#define TALL 12 /* rows of a tile of one vector */
#define INLINE TARGET static inline __attribute__((always_inline))

/* c (rows x width) = a (rows x depth) times b (depth x width), and `plus`, whose rows lie plus_row apart, if there is one: c itself, or a bias.

   The depth is made of runs: numbers p of a run lie at a[site + m*a_row + p*a_depth] and b[row*b_row + p*b_row + j]. Sums stay in
   registers; rows and vectors are constants wherever this is inlined. Of b whole vectors are read, of c `width` numbers written. Lines
   of `next` are fetched meanwhile; and those of c that come after: two tiles on, or, if its rows lie far apart, behind them. */
INLINE void NAME(tile)(const int rows, const int vectors, const T *a, int64_t a_row, int64_t a_depth, const T *b, int64_t b_row,
                       const run *runs, int64_t count, T *c, int64_t c_row, int64_t width, const T *plus, int64_t plus_row, stream *next) {
    V sum[TALL][2] = {0};
    const char *soon = next->at;
    int64_t after = c_row > 8 * L ? AHEAD : 2 * rows * c_row;
    _Pragma("GCC unroll 16") for (int m = 0; m < rows; m++) __builtin_prefetch(c + m * c_row + after, 1);
    for (int64_t r = 0; r < count; r++) {
        const T *x = a + runs[r].site, *w = b + runs[r].row * b_row;
        for (int64_t p = runs[r].length; p > 0; p--, x += a_depth, w += b_row) {
            __builtin_prefetch(soon, 0, 2), soon += next->step;
            V first = *(const V *)w, second = vectors > 1 ? *(const V *)(w + L) : first;
            _Pragma("GCC unroll 16") for (int m = 0; m < rows; m++) {
                V factor = x[m * a_row] - (V){0};
                sum[m][0] += factor * first;
                if (vectors > 1) sum[m][1] += factor * second;
            }
        }
    }
    next->at = soon;
    _Pragma("GCC unroll 16") for (int m = 0; m < rows; m++, c += c_row) {
        if (width == vectors * L) {
            _Pragma("GCC unroll 2") for (int v = 0; v < vectors; v++)
                *(V *)(c + v * L) = sum[m][v] + (plus ? *(const V *)(plus + m * plus_row + v * L) : (V){0});
        } else {
            T part[2 * VECTOR / sizeof(T)];
            *(V *)part = sum[m][0], *(V *)(part + L) = sum[m][1];
            for (int64_t j = 0; j < width; j++) c[j] = part[j] + (plus ? plus[m * plus_row + j] : 0);
        }
    }
}

#define CASE(n) \
    case n: NAME(tile)(n, vectors, a, a_row, a_depth, b, b_row, runs, count, c, c_row, width, plus, plus_row, next); break;

INLINE void NAME(tiles)(int64_t rows, const int vectors, const T *a, int64_t a_row, int64_t a_depth, const T *b, int64_t b_row,
                        const run *runs, int64_t count, T *c, int64_t c_row, int64_t width, const T *plus, int64_t plus_row, stream *next) {
    for (int64_t left = up(rows, vectors > 1 ? ROWS : TALL); left > 0; left--) {
        int64_t some = up(rows, left); /* even pieces: a rest of one row would be as slow as several */
        switch (some) { CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) }
        if (vectors == 1 || ROWS > 6)
            switch (some) { CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) }
        rows -= some, a += some * a_row, c += some * c_row;
        if (plus) plus += some * plus_row;
    }
}

/* Factor b of a product: row `r` of its panel `q`, two vectors wide, lies at at[q*panel + r*row]. */
typedef struct {
    const T *at;
    int64_t panel, row;
    const run *runs;
    int64_t count;
} NAME(factor);

/* The most rows of a tile of so many columns; and of one that has all of them in whole vectors, 0 if none has. */
INLINE int64_t NAME(height)(int64_t columns) { return columns > L ? ROWS : TALL; }
INLINE int64_t NAME(rows_at_once)(int64_t columns) { return columns % L || columns > 2 * L ? 0 : NAME(height)(columns); }

/* As `tile`, of any number of rows and columns: some rows at a time, so that these stay in the nearest cache while all of b passes by. */
TARGET static void NAME(product)(int64_t rows, int64_t columns, const T *a, int64_t a_row, int64_t a_depth, NAME(factor) b, T *c, int64_t c_row,
                                 const T *plus, int64_t plus_row, stream *next) {
    for (int64_t i = 0, some; i < rows; i += some, a += some * a_row, c += some * c_row) {
        some = least(rows - i, 4 * TALL);
        const T *from = b.at;
        for (int64_t j = 0, width; j < columns; j += width, from += b.panel) {
            width = least(columns - j, 2 * L);
            const T *more = plus ? plus + i * plus_row + j : NULL;
            if (width > L) NAME(tiles)(some, 2, a, a_row, a_depth, from, b.row, b.runs, b.count, c + j, c_row, width, more, plus_row, next);
            else NAME(tiles)(some, 1, a, a_row, a_depth, from, b.row, b.runs, b.count, c + j, c_row, width, more, plus_row, next);
        }
    }
}

/* to (columns x rows) = the transpose of from (rows x columns), 16 bytes at a time where they are whole. */
INLINE void NAME(transposed)(int64_t rows, int64_t columns, const T *from, int64_t from_row, T *to, int64_t to_row) {
    typedef T four __attribute__((vector_size(16), aligned(sizeof(T)), may_alias));
    const int64_t side = 16 / sizeof(T);
    int64_t whole = columns / side * side, i = 0;
    for (; i + side <= rows; i += side)
        for (int64_t j = 0; j < whole; j += side) {
            four v[16 / sizeof(T)], turned[16 / sizeof(T)];
            _Pragma("GCC unroll 4") for (int k = 0; k < side; k++) v[k] = *(const four *)(from + (i + k) * from_row + j);
#if WIDE
            turned[0] = __builtin_shufflevector(v[0], v[1], 0, 2), turned[1] = __builtin_shufflevector(v[0], v[1], 1, 3);
#else
            four a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5), b = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
            four c = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5), d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
            turned[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5), turned[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
            turned[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5), turned[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
#endif
            _Pragma("GCC unroll 4") for (int k = 0; k < side; k++) *(four *)(to + (j + k) * to_row + i) = turned[k];
        }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = r < i ? whole : 0; j < columns; j++) to[j * to_row + r] = from[r * from_row + j];
}
