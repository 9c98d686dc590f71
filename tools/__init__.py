"""What `./test` and `./demo` are made of, and what developers run now and then."""
