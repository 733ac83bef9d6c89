/* The fake agent CLI: what it does first is to tell the clock, then it waits to be ended. Static, so that what is
 * measured is the way to it and not its own start. */
#include <stdio.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec now;
    char line[64];
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (argc < 2)
        return 2;
    int fifo = open(argv[1], O_WRONLY);
    if (fifo < 0)
        return 1;
    /* One write of less than PIPE_BUF: the lines of agents that start at once do not mix. */
    int length = snprintf(line, sizeof line, "%d %lld\n", (int)getpid(), now.tv_sec * 1000000000LL + now.tv_nsec);
    if (write(fifo, line, length) != length)
        return 1;
    close(fifo);
    for (;;)
        pause();
}
