/* Names that glibc has from 2.38 on, for a Bochs that was compiled against it; loaded before it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

unsigned long long __isoc23_strtoull(const char *from, char **end, int base) { return strtoull(from, end, base); }

int __isoc23_sscanf(const char *from, const char *format, ...) {
    va_list given;
    va_start(given, format);
    int found = vsscanf(from, format, given);
    va_end(given);
    return found;
}
