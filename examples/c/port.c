// The layer as a program for the suite; the protocol is docs/protocol.md.
//
//     gcc -std=c99 -O2 -o port examples/c/*.c
//     lcl run -b 'exec:./port'

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "json.h"
#include "layer.h"
#include "tensors.h"

#define MAX_TABLE 4096

static const char *GREETING =
    "\"protocol\":\"lcl-exec/1\",\"name\":\"lcl-c\",\"version\":\"1.0\",\"language\":\"C99\",\"describes\":true,\"capabilities\":"
    "{\"ops\":[\"forward\",\"vjp\",\"transpose\"],\"dtypes\":[\"float32\",\"float64\"],\"channel_table\":true}";

/* One line of any length without its end, or NULL at the end of the input. */
static char *read_line(void) {
    size_t used = 0, room = 4096;
    char *line = malloc(room);
    int c;
    while (line && (c = getchar()) != EOF && c != '\n') {
        line[used++] = (char)c;
        if (used == room) line = realloc(line, room *= 2);
    }
    if (!line || (c == EOF && !used)) return free(line), NULL;
    line[used] = '\0';
    return line;
}

static long number(const char *object, const char *name) {
    long value = 0;
    json_numbers(json_get(object, name), &value, 1);
    return value;
}

static Layer read_layer(const char *spec, long *table) {
    static const char *names[] = {"input_size", "kernel_size", "stride", "dilation", "shared", "padding"};
    Layer l;
    char bias[16];
    long *lists[] = {l.input, l.kernel, l.stride, l.dilation, l.shared, l.padding};
    for (int i = 0; i < 6; i++) {
        int count = json_numbers(json_get(spec, names[i]), lists[i], i == 5 ? 2 * MAX_RANK : MAX_RANK);
        if (i == 0) l.rank = count;
    }
    l.in_channels = number(spec, "in_channels");
    l.out_channels = number(spec, "out_channels");
    l.groups = number(spec, "groups");
    l.cg = l.in_channels / l.groups;
    l.table = NULL;
    if (json_get(spec, "channel_table")) {
        l.cg = json_numbers(json_get(spec, "channel_table"), table, MAX_TABLE) / l.out_channels;
        l.table = table;
    }
    l.bias_per_position = json_string(json_get(spec, "bias"), bias, sizeof bias) && !strcmp(bias, "position");
    layer_complete(&l);
    return l;
}

static const Tensor *named(const Tensor *tensors, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (!strcmp(tensors[i].name, name)) return &tensors[i];
    return NULL;
}

/* Compute one operation; return the number of results. */
static int compute(const char *op, const Layer *l, const Tensor *given, int count, Tensor *out) {
    const Tensor *x = named(given, count, "x"), *w = named(given, count, "weight"), *b = named(given, count, "bias");
    const Tensor *dy = named(given, count, strcmp(op, "transpose") ? "dy" : "y");
    long batch = (x ? x : dy)->shape[0], x_shape[MAX_AXES] = {batch}, y_shape[MAX_AXES] = {batch};
    for (int a = 0; a < l->rank; a++) x_shape[a + 1] = l->input[a], y_shape[a + 1] = l->output[a];
    x_shape[l->rank + 1] = l->in_channels;
    y_shape[l->rank + 1] = l->out_channels;
    if (!strcmp(op, "forward")) {
        out[0] = tensor("y", l->rank + 2, y_shape);
        forward(l, batch, x->data, w->data, b ? b->data : NULL, out[0].data);
        return 1;
    }
    out[0] = tensor(x ? "dx" : "xt", l->rank + 2, x_shape);
    transpose(l, batch, dy->data, w->data, out[0].data);
    if (!x) return 1;
    out[1] = tensor("dw", w->axes, w->shape);
    weight_cotangent(l, batch, x->data, dy->data, out[1].data);
    if (!b) return 2;
    out[2] = tensor("db", b->axes, b->shape);
    bias_cotangent(l, batch, dy->data, out[2].data);
    return 3;
}

/* Answer one run command with the text after the id. */
static const char *run(const char *message) {
    static long table[MAX_TABLE];
    char op[16], dtype[16], operands[4096], results[4096];
    Tensor given[MAX_TENSORS], out[MAX_TENSORS];
    if (!json_string(json_get(message, "op"), op, sizeof op) ||
        !json_string(json_get(message, "dtype"), dtype, sizeof dtype) ||
        !json_string(json_get(message, "operands"), operands, sizeof operands) ||
        !json_string(json_get(message, "results"), results, sizeof results))
        return "\"error\":\"a field is missing or too long\"";
    int count = tensors_read(operands, given);
    if (count < 0) return "\"error\":\"the operands cannot be read\"";
    Layer layer = read_layer(json_get(message, "spec"), table);
    int made = compute(op, &layer, given, count, out);
    int written = tensors_write(results, out, made, strcmp(dtype, "float32") ? "F64" : "F32");
    tensors_free(given, count);
    tensors_free(out, made);
    return written ? "\"results\":\"file\"" : "\"error\":\"the results cannot be written\"";
}

int main(void) {
    for (char *line; (line = read_line()) != NULL; free(line)) {
        char command[32];
        const char *answer = "\"error\":\"unknown command\"";
        if (!json_string(json_get(line, "command"), command, sizeof command)) strcpy(command, "");
        if (!strcmp(command, "stop")) return free(line), 0;
        if (!strcmp(command, "start")) answer = GREETING;
        if (!strcmp(command, "run")) answer = run(line);
        if (!strcmp(command, "describe")) answer = describe(json_get(line, "layer"));
        printf("{\"id\":%ld,%s}\n", number(line, "id"), answer);
        fflush(stdout);
    }
    return 0;
}
