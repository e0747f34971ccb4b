#!/bin/sh
# First process of the test guest. It tells that userland runs, does what the kernel command line asks, powers off.
#
#   hs.cmd=COMMAND   run COMMAND with the shell; percent-encoded, since the command line splits at spaces
#   hs.shell         give an interactive shell on the console

export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

echo HYPERSCOPE-BOOT-OK
uname -a

for word in $(cat /proc/cmdline); do
    case $word in
        hs.cmd=*) command=$(printf '%b' "$(echo "${word#hs.cmd=}" | sed 's/%/\\x/g')") ;;
        hs.shell) shell=yes ;;
    esac
done

if [ -n "$command" ]; then
    sh -c "$command"
    echo "HYPERSCOPE-CMD-DONE $?"
elif [ -n "$shell" ]; then
    setsid cttyhack sh
fi

poweroff -f
