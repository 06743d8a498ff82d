-- takes runtime
return is_absent(runtime, now()) and 0 or 1
