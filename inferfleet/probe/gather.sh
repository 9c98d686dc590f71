# What a host can say of its NVIDIA cards, in sections for `probe.answer`: sh -c TEXT probe LOADER ZIP
# Every section is bounded in time: a driver that lost a card can hold its callers, and no signal ends them.
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
section() { printf '\n=== %s\n' "$1"; }
soon() { timeout -k 1 10 "$@" 2>/dev/null </dev/null; }

section system
cat /etc/os-release 2>/dev/null
echo "KERNEL=$(uname -r)"
echo "MACHINE=$(uname -m)"
echo "USER_ID=$(id -u)"
[ ! -e "/lib/modules/$(uname -r)/build/Makefile" ] || echo HEADERS=yes
[ ! -e /run/reboot-required ] && [ ! -e /var/run/reboot-required ] || echo REBOOT_REQUIRED=yes
for path in /sys/firmware/efi/efivars/SecureBoot-*; do
    [ ! -e "$path" ] || echo "SECURE_BOOT=$(od -An -tu1 -j4 -N1 "$path" 2>/dev/null)"
done
[ ! -d /sys/module/nouveau ] || echo NOUVEAU=yes
[ -d /sys/bus/pci/devices ] && echo PCI=yes
soon apt-config shell UNATTENDED APT::Periodic::Unattended-Upgrade

section loaded
cat /proc/driver/nvidia/version 2>/dev/null
section module
cat /sys/module/nvidia/version 2>/dev/null
section file
soon modinfo -F version nvidia
section license
soon modinfo -F license nvidia
section library
for path in $(soon ldconfig -p | sed -n 's/.*libnvidia-ml\.so\.1 .*=> //p'); do readlink -f "$path"; done
section pci
for path in /sys/bus/pci/devices/*; do
    read -r vendor <"$path/vendor" && [ "$vendor" = 0x10de ] || continue
    read -r device <"$path/device"
    read -r class <"$path/class"
    driver=$(readlink "$path/driver")
    echo "${path##*/} $device $class ${driver##*/}"
done 2>/dev/null
section packages
soon dpkg-query -W -f '${db:Status-Abbrev}|${Package}|${Version}\n' '*nvidia*' 'cuda-drivers*' 'linux-headers-*' \
    unattended-upgrades
section units
soon systemctl show -p Id,LoadState,ActiveState,UnitFileState nvidia-persistenced.service nvidia-fabricmanager.service
section xid
{ soon journalctl -k -b -q -o cat --no-pager -g 'NVRM: Xid' || soon dmesg; } | grep 'NVRM: Xid' | tail -n 200

section nvml
said=$(command -v python3 >/dev/null && python3 -c "$1" "$2" 2>/dev/null </dev/null)
echo "$said"
case $said in *'"cards"'* | *'"error"'*) exit 0 ;; esac
command -v nvidia-smi >/dev/null || exit 0
folder=$(mktemp -d) || exit 0
smi() { # NAME ARGUMENT...
    section "$1"
    rm -f "$folder/code"
    (
        shift
        nvidia-smi "$@" >"$folder/said" 2>&1 </dev/null
        echo $? >"$folder/code"
    ) >/dev/null 2>&1 &
    tenths=600
    until [ -s "$folder/code" ] || [ $tenths -eq 0 ]; do
        sleep 0.1
        tenths=$((tenths - 1))
    done
    cat "$folder/said"
    section "$1-code"
    [ -s "$folder/code" ] || echo 10 >"$folder/code"
    cat "$folder/code"
    [ $tenths -gt 0 ]
}
smi smi-xml -q -x && smi smi-list -L && smi smi-compute --query-gpu=index,compute_cap --format=csv,noheader
rm -rf "$folder"
exit 0
