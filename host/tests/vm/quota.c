/* quota DEVICE USER KIB: from now on the user may have so much on the file system of this device. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/quota.h>

int main(int count, char **words)
{
    if (count != 4)
        return 2;
    struct dqblk limits = {.dqb_bhardlimit = strtoull(words[3], NULL, 10), .dqb_valid = QIF_BLIMITS};
    if (quotactl(QCMD(Q_SETQUOTA, USRQUOTA), words[1], atoi(words[2]), (caddr_t)&limits) != 0) {
        perror("quota");
        return 1;
    }
    return 0;
}
