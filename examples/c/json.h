/* As much of a JSON reader as a port needs: it walks the text itself, nothing is copied but strings. */
#ifndef LCL_JSON_H
#define LCL_JSON_H

#include <stddef.h>

/* The value of a member of the object at `text`, or NULL. */
const char *json_get(const char *text, const char *name);

/* The first member of the object at `text`, or the one after the value `text`: its value, and its name in `name`. */
const char *json_first(const char *text, char *name, size_t room);
const char *json_next(const char *value, char *name, size_t room);

/* The first entry of the array at `text`, or the one after the entry `value`; NULL where there is none. */
const char *json_entry(const char *text);
const char *json_next_entry(const char *value);

/* Copy the string at `text` without its quotes and escapes; return 1, or 0 if it is NULL, no string or does not fit. */
int json_string(const char *text, char *out, size_t room);

/* Read all numbers and booleans of the (nested) array at `text`, or the one there; return how many, up to `room`. */
int json_numbers(const char *text, long *out, int room);

#endif
