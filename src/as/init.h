/* as/init.h - `symbolon-as init DIR`: everything a first start needs, in one folder. */
#ifndef SYMBOLON_AS_INIT_H
#define SYMBOLON_AS_INIT_H

/* argv[0] is "init". Prints what it did and what to do next; returns the exit status. */
int as_init(int argc, char **argv);

#endif
