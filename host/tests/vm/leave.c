/* Ends the virtual machine with an exit code: writes it, plus one, to QEMU's isa-debug-exit. The kernels in use offer no
 * /dev/port. */
#include <stdlib.h>
#include <sys/io.h>

int main(int count, char **words)
{
    if (count != 2 || ioperm(0xf4, 4, 1) != 0)
        return 1;
    outb((unsigned char)(atoi(words[1]) + 1), 0xf4);
    return 1;
}
