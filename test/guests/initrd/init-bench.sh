#!/bin/sh
# First process of the benchmark guest: times each item of the compute suite by the guest's clock, then powers off.
# `bench time NAME COMMAND…` prints "BENCH NAME MILLISECONDS".
#
#   hs.bench=NAME,NAME   only these items

export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev

for word in $(cat /proc/cmdline); do
    case $word in
        hs.bench=*) wanted=,${word#hs.bench=}, ;;
    esac
done

item() {
    case ${wanted:-,$1,} in
        *,"$1",*) bench time "$@" ;;
    esac
}

bench text 48 > /tmp/text
bench text 4 > /tmp/lines

echo HYPERSCOPE-BOOT-OK
item integer bench integer
item md5sum md5sum /tmp/text
item sha256sum sha256sum /tmp/text
item gzip gzip -c /tmp/lines
item sort sort /tmp/lines
item double bench double
item movs bench movs
item syscall bench syscall
item fork bench fork
echo HYPERSCOPE-BENCH-DONE

poweroff -f
