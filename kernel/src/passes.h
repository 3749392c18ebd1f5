/* The three products of a layer, a unit of work at a time, by `product`: it is included once per format and kind of processor. Where S is a
   half format, what is read is widened where it is copied, sums are kept as T, and a result is rounded once. */
#include "copies.h"

#if !HALF
typedef struct {
    T panels[PANELS], windows[WINDOWS], wide[ROOM]; /* `wide` is of use to half formats only */
    run packed[DEPTH], runs[];
} NAME(scratch);
#endif

/* What follows the weight w of a group while `samples` are multiplied by `columns` of some runs, `before` of whose numbers were: the weight behind
   the runs or, where there are several groups, the group's share of the next position's. */
INLINE stream PASS(following)(const lcl_layer *s, int64_t g, const S *w, const run *runs, int64_t count, int64_t before, int64_t columns,
                              int64_t samples) {
    int64_t width = s->outputs / s->groups, behind = (runs[count - 1].row + runs[count - 1].length) * s->outputs;
    if (s->groups > 1) behind = weight_size(s) + (g * (fan_in(s) - 1) + runs->row) * width;
    return (stream){(const char *)(w + behind + before), up((int64_t)sizeof(S) * columns, up(samples, NAME(height)(columns)) * up(columns, 2 * L))};
}

/* The outputs of a position, a group and some samples; the window is `count` of the runs. */
TARGET static void PASS(group_output)(const job *j, const int64_t *o, int64_t g, int64_t first, int64_t samples, int64_t count,
                                      NAME(scratch) *held) {
    const lcl_layer *s = j->layer;
    int64_t width = s->outputs / s->groups, at = flat(s, o) * s->outputs + g * width, y_row = HALF ? width : y_size(s), total;
    const S *x = (const S *)j->first + first * x_size(s) + g * s->group_channels;
    const S *w = (const S *)j->second + weight_of(s, o) * weight_size(s) + g * width;
    S *result = (S *)j->result + first * y_size(s) + at;
    T *sums = (T *)((char *)held + j->sums_at), *y = HALF ? sums + width : (T *)result;
    const T *bias = NULL;
    if (s->groups > 1 && count) PASS(fetched)(x + held->runs[0].site, x_size(s), samples, s->group_channels);
    if (j->bias) bias = PASS(widened)((const S *)j->bias + (j->bias_per_position ? at : g * width), width, 1, width, sums);
    for (int64_t n = 0; n < (count ? 0 : samples); n++)
        for (int64_t f = 0; f < width; f++) y[n * y_row + f] = bias ? bias[f] : 0;
    for (int64_t r = 0, some; r < count; r += some) {
        some = block(held->runs, r, count, depth_of(width), &total);
        for (int64_t f = 0, columns; f < width; f += columns) {
            columns = least(COLUMNS, width - f);
            NAME(factor) b = {(const T *)(w + f), 2 * L, s->outputs, held->runs + r, some}; /* if it is read a few times only */
            int often = HALF || columns % L || samples > 4 * TALL;
            if (often) b = PASS(factor_of)(columns, w + f, s->outputs, b.runs, some, held->panels, held->packed);
            const run gathered = {0, 0, total};
            stream next = PASS(following)(s, g, w, held->runs + r, some, f * total, columns, samples);
            for (int64_t n = 0, many; n < samples; n += many) {
                const S *from = x + n * x_size(s);
                T *to = y + n * y_row + f;
                const T *plus = r ? to : bias ? bias + f : NULL;
                many = HALF ? least(WINDOWS / total, samples - n) : samples;
                if (HALF) PASS(gather)(from, x_size(s), many, held->runs + r, some, held->windows), b.runs = &gathered, b.count = 1;
                NAME(product)(many, columns, HALF ? held->windows : (const T *)from, HALF ? total : x_size(s), 1, b, to, y_row, plus,
                              r ? y_row : 0, &next);
            }
        }
    }
    for (int64_t n = 0; n < (HALF ? samples : 0); n++) PASS(rounded)(y + n * width, width, result + n * y_size(s));
}

/* Unit: the outputs of a position, a span of groups and some samples. */
TARGET static void PASS(output)(const job *j, int64_t number, void *memory) {
    const lcl_layer *s = j->layer;
    NAME(scratch) *held = memory;
    int64_t o[3], groups[2], first, samples;
    position(s, chunk_of(j, number, groups, &first, &samples), o);
    int64_t count = window(s, o, depth_of(s->outputs / s->groups), held->runs);
    for (int64_t g = groups[0]; g < groups[1]; g++) PASS(group_output)(j, o, g, first, samples, count, held);
}

/* Adds to the sites of a block, samples side by side, what a position and a group leave there. */
TARGET static void PASS(add_input_gradient)(const job *j, const lcl_layer *seen, const int64_t *o, int64_t g, int64_t first, int64_t samples,
                                            T *sites, NAME(scratch) *held) {
    const lcl_layer *s = j->layer;
    int64_t width = s->outputs / s->groups, row = up(samples, L) * L;
    int64_t depth = WINDOWS / 4 / (up(least(j->batch, SAMPLES), L) * L); /* the same however many samples a unit has, for the sake of bits */
    const S *w = (const S *)j->second + weight_of(s, o) * weight_size(s) + g * width;
    const S *dy = (const S *)j->first + first * y_size(s) + flat(s, o) * s->outputs + g * width;
    int64_t count = window(seen, o, fan_in(s), held->runs);
    for (int64_t f = 0, some; f < width; f += some) {
        some = least(depth, width - f);
        PASS(fetched)(dy + f, y_size(s), samples, some);
        const T *turned = PASS(widened)(dy + f, y_size(s), samples, some, held->wide);
        NAME(transposed)(samples, some, turned, HALF ? some : y_size(s), held->windows, row);
        NAME(factor) b = NAME(factor_of)(row, held->windows, row, &(run){0, 0, some}, 1, held->panels, held->packed);
        for (int64_t r = 0; r < count; r++)
            for (int64_t i = 0, rows; i < held->runs[r].length; i += rows) {
                rows = least(HALF ? ROOM / some : held->runs[r].length, held->runs[r].length - i);
                const S *from = w + (held->runs[r].row + i) * s->outputs + f;
                stream next = {(const char *)(from + SOON), (int64_t)sizeof(S) * NAME(height)(row)};
                const T *a = PASS(widened)(from, s->outputs, rows, some, held->wide);
                T *to = sites + (held->runs[r].site + i) * row;
                NAME(product)(rows, row, a, HALF ? some : s->outputs, 1, b, to, row, to, row, &next);
            }
    }
}

#if !HALF
/* Adds the sites of a block, `skipped` of which lie before it along its axis, to the gradient of the input. */
TARGET static void NAME(add_sites)(const job *j, const lcl_layer *seen, int64_t skipped, int64_t g, int64_t first, int64_t samples,
                                   const T *sites) {
    const lcl_layer *s = j->layer;
    const int64_t line = LINE / sizeof(T);
    T part[SAMPLES * LINE / sizeof(T)]; /* a line of each sample, so that memory far apart is met once */
    int64_t before = 1, after = 1, row = up(samples, L) * L;
    for (int axis = 0; axis < j->axis; axis++) before *= s->input[axis];
    for (int axis = j->axis + 1; axis < 3; axis++) after *= s->input[axis];
    int64_t slab = seen->input[j->axis] * after, piece = s->groups == 1 ? slab : 1; /* sites whose numbers lie side by side */
    for (int64_t site = 0; site < before * slab; site += piece) {
        int64_t at = (site / slab * s->input[j->axis] + skipped) * after + site % slab;
        T *to = (T *)j->result + first * x_size(s) + at * s->channels + g * s->group_channels;
        for (int64_t left = piece * s->group_channels, some; left > 0; left -= some, to += some, sites += some * row) {
            some = least(left, line);
            NAME(transposed)(some, samples, sites, row, part, line);
            for (int64_t n = 0; n < samples; n++) {
                T *at = to + n * x_size(s), *from = part + n * line;
                int64_t q = 0;
                __builtin_prefetch(at + 2 * line, 1);
                for (; q + L <= some; q += L) *(V *)(at + q) += *(const V *)(from + q);
                for (; q < some; q++) at[q] += from[q];
            }
        }
    }
}
#endif

/* Unit: what a block of positions leaves in the gradient of the input (as T), of a span of groups and some samples. Sums are kept with
   samples side by side, so that neither the weight nor its products are turned. */
TARGET static void PASS(input_gradient)(const job *j, int64_t number, void *memory) {
    NAME(scratch) *held = memory;
    T *sites = (T *)((char *)memory + j->sums_at);
    int64_t box[3][2], groups[2], first, samples, skipped;
    block_of(j, number, box, &first, &samples, groups);
    lcl_layer seen = seen_by(j, box, &skipped);
    for (int64_t g = groups[0]; g < groups[1]; g++) {
        memset(sites, 0, sizeof(T) * (size_t)(x_size(&seen) * up(samples, L) * L));
        int64_t o[3] = {box[0][0], box[1][0], box[2][0]};
        do PASS(add_input_gradient)(j, &seen, o, g, first, samples, sites, held);
        while (next(o, box));
        NAME(add_sites)(j, &seen, skipped, g, first, samples, sites);
    }
}

#if !HALF
/* Unit: what a position leaves in the gradient of the input, at sites that no other sees, of a span of groups and some samples. The weight is
   turned, which many samples repay. */
TARGET static void NAME(own_sites)(const job *j, int64_t number, void *memory) {
    const lcl_layer *s = j->layer;
    NAME(scratch) *held = memory;
    int64_t o[3], groups[2], first, samples, width = s->outputs / s->groups;
    position(s, chunk_of(j, number, groups, &first, &samples), o);
    int64_t count = window(s, o, COLUMNS, held->runs);
    for (int64_t g = groups[0]; g < groups[1]; g++)
        for (int64_t r = 0; r < count; r++)
            for (int64_t f = 0, some, length = held->runs[r].length; f < width; f += some) {
                some = least(LEVEL / (up(length, 2 * L) * 2 * L), width - f);
                const T *dy = (const T *)j->first + first * y_size(s) + flat(s, o) * s->outputs + g * width + f;
                const T *w = (const T *)j->second + weight_of(s, o) * weight_size(s) + held->runs[r].row * s->outputs + g * width + f;
                T *to = (T *)j->result + first * x_size(s) + held->runs[r].site + g * s->group_channels;
                if (!r) NAME(fetched)(dy, y_size(s), samples, some);
                for (int64_t q = 0; q < length; q += 2 * L) {
                    if (length - q < 2 * L) memset(held->panels + q * some, 0, sizeof(T) * (size_t)(some * 2 * L));
                    NAME(transposed)(least(2 * L, length - q), some, w + q * s->outputs, s->outputs, held->panels + q * some, 2 * L);
                }
                NAME(factor) b = {held->panels, some * 2 * L, 2 * L, &(run){0, 0, some}, 1};
                NAME(product)(samples, length, dy, y_size(s), 1, b, to, x_size(s), f ? to : NULL, x_size(s), &(stream){(const char *)to, 0});
            }
}
#endif

/* Adds to the gradient of a weight and a group what one position leaves in it; or writes it, where all of it gets something. */
TARGET static void PASS(add_weight_gradient)(const job *j, const int64_t *o, int64_t g, S *dw, int adds, NAME(scratch) *held) {
    const lcl_layer *s = j->layer;
    int64_t width = s->outputs / s->groups, widest = least(width, COLUMNS), columns, total;
    int64_t many = least(LEVEL / most(width > 2 * L ? 128 : 64, widest), j->batch), rows = most(64, least(DEPTH, WINDOWS / many));
    if (HALF) rows = least(rows, ROOM / widest);
    int64_t count = window(s, o, rows, held->runs);
    for (int64_t r = 0, some; r < count; r += some) {
        some = block(held->runs, r, count, rows, &total);
        for (int64_t f = 0; f < width; f += columns) {
            columns = least(COLUMNS, width - f);
            for (int64_t n = 0, samples; n < j->batch; n += samples) {
                samples = least(many, j->batch - n);
                const S *x = (const S *)j->first + n * x_size(s) + g * s->group_channels;
                const S *dy = (const S *)j->second + n * y_size(s) + flat(s, o) * s->outputs + g * width;
                if (!f && s->groups > 1) PASS(fetched)(x + held->runs[r].site, x_size(s), samples, s->group_channels);
                /* whether each number is read once only, by the one tile there is, or each of the window, where its lines of all samples stay in
                   the nearest cache or are few: then they are not copied */
                int once = !HALF && count == 1 && total <= NAME(rows_at_once)(columns), few = held->runs->length < LINE / 2;
                int direct = once || (!HALF && s->groups == 1 && width <= 2 * L && (few || together(samples, x_size(s) * (int64_t)sizeof(T))));
                const run all = {0, 0, samples};
                if (!direct && (!f || samples < j->batch)) PASS(gather)(x, x_size(s), samples, held->runs + r, some, held->windows);
                if (!r) PASS(fetched)(dy + f, y_size(s), samples, columns);
                NAME(factor) b = {(const T *)(dy + f), 0, y_size(s), &all, 1};
                if (!once) b = PASS(factor_of)(columns, dy + f, y_size(s), &all, 1, held->panels, held->packed);
                for (int64_t i = r, at = 0, length; i < r + some; at += length) { /* rows of the weight that lie side by side */
                    int64_t row = held->runs[i].row, to_row = HALF ? columns : s->outputs;
                    const T *a = direct ? (const T *)(x + held->runs[i].site) : held->windows + at;
                    if (direct) length = held->runs[i++].length;
                    else
                        for (length = 0; i < r + some && held->runs[i].row == row + length; i++) length += held->runs[i].length;
                    T *to = HALF ? held->wide + at * columns : (T *)(dw + row * s->outputs + f);
                    NAME(product)(length, columns, a, 1, direct ? x_size(s) : total, b, to, to_row, adds || n ? to : NULL, to_row,
                                  &(stream){(const char *)to, 0});
                    int64_t last = HALF && n + samples == j->batch, joined = columns == s->outputs ? length : 1; /* rows at a time */
                    for (int64_t q = 0; q < (last ? length : 0); q += joined)
                        PASS(rounded)(to + q * columns, columns * joined, dw + (row + q) * s->outputs + f);
                }
            }
        }
    }
}

/* Sums of some rows of so many vectors, two of each at a time: additions would wait for each other. */
INLINE void PASS(summed)(const int vectors, const S *from, int64_t row, int64_t rows, S *to) {
    V sum[2][2] = {0};
    for (int64_t n = 0; n + 2 <= rows; n += 2, from += 2 * row)
        _Pragma("GCC unroll 2") for (int v = 0; v < vectors; v++) sum[0][v] += LOAD(from + v * L), sum[1][v] += LOAD(from + row + v * L);
    _Pragma("GCC unroll 2") for (int v = 0; v < vectors; v++) {
        if (rows % 2) sum[0][v] += LOAD(from + v * L);
        sum[0][v] += sum[1][v];
        STORE(to + v * L, sum[0][v]);
    }
}

/* The gradient of the bias of a position and a span of groups. */
TARGET static void PASS(bias_gradient)(const job *j, const int64_t *o, const int64_t *groups) {
    const lcl_layer *s = j->layer;
    int64_t width = s->outputs / s->groups, at = flat(s, o) * s->outputs, row = y_size(s), f = groups[0] * width, end = groups[1] * width;
    const S *dy = (const S *)j->second + at;
    S *db = (S *)j->bias_gradient + at;
    for (; f + 2 * L <= end; f += 2 * L) PASS(summed)(2, dy + f, row, j->batch, db + f);
    for (; f + L <= end; f += L) PASS(summed)(1, dy + f, row, j->batch, db + f);
    for (; f < end; f++) {
        T sum = 0;
        for (int64_t n = 0; n < j->batch; n++) sum += ONE(dy[n * row + f]);
        PASS(rounded)(&sum, 1, db + f);
    }
}

/* Unit: the gradient of one weight, of a span of groups. The first position writes it, zeros where its taps lie outside the input. */
TARGET static void PASS(weight_gradient)(const job *j, int64_t number, void *memory) {
    const lcl_layer *s = j->layer;
    NAME(scratch) *held = memory;
    int64_t groups[2], box[3][2], unit = span_of(j, number, groups), width = s->outputs / s->groups, row = 0;
    users(s, unit, box);
    int64_t o[3] = {box[0][0], box[1][0], box[2][0]}, count = j->batch ? window(s, o, DEPTH, held->runs) : 0;
    S *dw = (S *)j->result + unit * weight_size(s);
    for (int64_t r = 0; r <= count; r++) {
        for (int64_t end = r < count ? held->runs[r].row : fan_in(s); row < end; row++)
            for (int64_t f = groups[0] * width; f < groups[1] * width; f++) dw[row * s->outputs + f] = 0;
        if (r < count) row += held->runs[r].length;
    }
    for (int64_t g = groups[0]; j->batch && g < groups[1]; g++) {
        int adds = 0;
        do PASS(add_weight_gradient)(j, o, g, dw + g * width, adds, held), adds = 1;
        while (next(o, box));
    }
    if (j->bias_gradient) {
        do PASS(bias_gradient)(j, o, groups);
        while (next(o, box));
    }
}

#if HALF
/* Unit: rounds a slice of the first operand, which is of T. */
TARGET static void PASS(round)(const job *j, int64_t number, void *scratch) {
    (void)scratch;
    int64_t from = number * SLICE, count = least(SLICE, j->batch - from);
    PASS(rounded)((const T *)j->first + from, count, (S *)j->result + from);
}

static const kernels PASS(kernels) = {PASS(output), PASS(input_gradient), PASS(weight_gradient), NULL, NULL, NULL, NULL, PASS(round),
                                      sizeof(NAME(scratch)), VECTOR, sizeof(T)};
#endif

#undef S
#undef HALF
#undef PASS
#undef LOAD
#undef ONE
#undef STORE
