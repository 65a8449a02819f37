# Frames on virtio-gpu, while virtio-blk reads a little every now and then.
for b in /sys/block/vd*; do
    case $(readlink -f $b/device) in
        *virtio_mmio*) ;;
        *) DISK=/dev/$(basename $b) ;;
    esac
done
[ -n "$DISK" ] || fail "no virtio-blk disk behind the SMMU"
echo "@@RUN frames"
kms_frames 320 2 || echo "@@FAIL kms_frames" &
FRAMES=$!
while kill -0 $FRAMES 2>/dev/null; do
    dd if=$DISK of=/dev/null bs=16k count=2 iflag=direct 2>/dev/null
    usleep 100000
done
