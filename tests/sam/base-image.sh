#!/bin/sh
# Makes a stand-in for the base image of Lambda's functions, for machines that cannot pull it: the C library, certificates and a shell out
# of Debian's packages, a few megabytes. usage: base-image.sh TAG
set -eu
tag=${1:?usage: base-image.sh TAG}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# apt gives up its rights to download, so that user has to get in.
chmod 755 "$work"
mkdir -m 777 "$work/packages"
mkdir "$work/root"

cd "$work/packages"
apt-get --quiet=2 download libc6 libgcc-s1 busybox-static ca-certificates
for package in *.deb; do
    dpkg-deb --extract "$package" "$work/root"
done

cd "$work/root"
mkdir -p bin etc/ssl/certs lib64 opt tmp var/task var/runtime var/rapid
chmod 1777 tmp
# What SAM's entry point calls.
for command in sh mv chmod cat ls cp rm mkdir env; do
    ln -sf busybox "bin/$command"
done
cat usr/share/ca-certificates/mozilla/*.crt > etc/ssl/certs/ca-certificates.crt
rm -rf usr/share/doc usr/share/man usr/share/lintian usr/share/ca-certificates usr/lib/*/gconv usr/lib/*/audit
tar --create . | docker import - "$tag" > /dev/null
echo "$tag: made of $(ls "$work/packages" | tr '\n' ' ')"
