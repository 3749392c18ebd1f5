"""``lcl bench``: time and memory of backends at named layers, beside what the machine could do at best."""
