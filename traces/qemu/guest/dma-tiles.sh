# The tile pattern, with the NVMe controller and edu handed to a program through VFIO.
echo 1 > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
NVME=$(pci_device 0x0010)
EDU=$(pci_device 0x11e8)
for d in $NVME $EDU; do
    echo vfio-pci > /sys/bus/pci/devices/$d/driver_override
    echo $d > /sys/bus/pci/drivers_probe
done
echo "@@RUN tiles"
dma_tiles $NVME $EDU 2 1280 704 || echo "@@FAIL dma_tiles"
