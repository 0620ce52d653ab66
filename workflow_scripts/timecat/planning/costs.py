"""Estimate the run time in seconds and device-seconds of a planned job from the table of throughputs."""

import math

from workflow_scripts.timecat.config.pretrain import Pretrain
from workflow_scripts.timecat.planning.jobs import Job
from workflow_scripts.timecat.planning.throughputs import Speed, Throughputs, speed
from workflow_scripts.timecat.planning.work import PlannedStudy


class Costs:
    """Costs of a study's jobs on one kind of device.

    device: key of the table's devices, or None for the study's default. On GPUs, a job takes the number of GPUs that
    its rule requests; jobs that do not compute take none. On a CPU, each core counts as one device, and a job takes one
    core per thread. Raise UserError if the table has no speed for a backbone.
    """

    def __init__(self, planned: PlannedStudy, table: Throughputs, device: str | None = None):
        self._planned, self.table = planned, table
        self.name = device or table.default_device(planned.backbone())
        self._speeds: dict[tuple[str, int, str], Speed] = {}
        self.speed(planned.image_size(planned.study.config.source), "float32")  # refuses an unknown device now
        self.device = table.devices[self.name]

    @property
    def is_cpu(self) -> bool:
        """Whether the jobs run on a CPU."""
        return self.device.kind == "cpu"

    @property
    def unit(self) -> str:
        """Name of one device in the text of a plan: "core" or "GPU"."""
        return "core" if self.is_cpu else "GPU"

    @property
    def speeds(self) -> dict[tuple[str, int, str], Speed]:
        """Speeds that have been looked up so far, by (backbone, image size, precision)."""
        return dict(self._speeds)

    def speed(self, image_size: int, precision: str, backbone: str | None = None) -> Speed:
        """Return the speed of a backbone, given by name (None: the study's default backbone)."""
        key = backbone or self._planned.study.config.backbone, image_size, precision
        if key not in self._speeds:
            self._speeds[key] = speed(self.table, self.name, self._planned.backbone(key[0]), image_size, precision)
        return self._speeds[key]

    def devices(self, job: Job, available: float = math.inf) -> int:
        """Return the number of devices that a job takes.

        If it requests more devices than are available, Snakemake lowers its request to the available number.
        """
        return int(min(job.threads if self.is_cpu else job.devices, available))

    def seconds(self, job: Job, available: float = math.inf) -> float:
        """Return the seconds from the start of a job to its end."""
        sharing = 1 if self.is_cpu else max(1, self.devices(job, available))
        if job.work.trained and sharing > 1:
            sharing = usable_gpus(self._planned.recipe(job.work.backbone), sharing)
        seconds = self.device.start_seconds + self.operation_seconds(job.work.operations) + self._writing(job)
        if job.work.trained:
            seconds += self.training_seconds(job.work.trained, job, sharing)
        if job.work.read:  # a job that trains runs its forward passes at its end, on one device
            seconds += self.reading_seconds(job.work.read, job.work.image_size, job.work.backbone) / (
                1 if job.work.trained else sharing
            )
        return seconds

    def device_seconds(self, job: Job, available: float = math.inf) -> float:
        """Return the seconds of a job, summed over its devices."""
        return self.devices(job, available) * self.seconds(job, available)

    def training_seconds(self, images: int, job: Job, devices: int) -> float:
        """Return the seconds of training on ``images`` images on a number of devices.

        Twice as many devices are 2 x ``scaling`` times as fast (see Speed).
        """
        one = self.speed(job.work.image_size, job.work.precision, job.work.backbone)
        speed: float = one.training * devices * one.scaling ** math.log2(devices)
        return images / speed

    def reading_seconds(self, images: float, image_size: int, backbone: str | None = None) -> float:
        """Return the seconds of forward passes on one device, in float32 for any precision of training."""
        return images / self.speed(image_size, "float32", backbone).extraction

    def operation_seconds(self, operations: float) -> float:
        """Return the seconds that the multiplications and additions of linear heads take on one device."""
        return operations / (self.table.assumptions.probe_share * self.device.peak_tflops * 1e12)

    def _writing(self, job: Job) -> float:
        assumed = self.table.assumptions
        each = job.work.pixels / assumed.large_photograph / assumed.written_per_core + assumed.write_overhead
        return job.work.written * each / job.threads


def usable_gpus(pretrain: Pretrain, count: int) -> int:
    """Return how many GPUs, at most ``count``, can share a batch of the recipe (the config's block ``pretrain``).

    This function copies batch_shares.usable_processes without importing torch; a test checks that both give the same
    result.
    """

    def can_share(size: int) -> bool:
        images, parts = pretrain.batch_size // size, pretrain.accumulation
        if pretrain.batch_size % size or (parts % size and size % parts):
            return False
        part = images // max(1, parts // size)
        group = pretrain.ghost_batch or pretrain.batch_size // parts
        if part % group and group % part:
            return False
        return group <= part or not pretrain.compile

    return next(size for size in range(count, 0, -1) if can_share(size))
