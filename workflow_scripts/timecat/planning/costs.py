"""What a planned job costs on a device: seconds and device-seconds, by the table of throughputs."""

import math

from workflow_scripts.timecat.config.pretrain import Pretrain
from workflow_scripts.timecat.planning.jobs import Job
from workflow_scripts.timecat.planning.throughputs import Speed, Throughputs, speed
from workflow_scripts.timecat.planning.work import PlannedStudy


class Costs:
    """The costs of a study's jobs on one kind of device (a key of the table's devices; None: the study's default).

    On GPUs, a job takes as many as it asks for, and jobs that do not compute take none. On a CPU, of which a "device"
    is one core, every job takes its threads. UserError where the table cannot say.
    """

    def __init__(self, planned: PlannedStudy, table: Throughputs, device: str | None = None):
        self._planned, self.table = planned, table
        self.name = device or table.default_device(planned.backbone())
        self._speeds: dict[tuple[str, int, str], Speed] = {}
        self.speed(planned.image_size(planned.study.config.source), "float32")  # says at once what is wrong with a name
        self.device = table.devices[self.name]

    @property
    def is_cpu(self) -> bool:
        return self.device.kind == "cpu"

    @property
    def unit(self) -> str:
        """What the devices' time is called."""
        return "core" if self.is_cpu else "GPU"

    @property
    def speeds(self) -> dict[tuple[str, int, str], Speed]:
        """The speeds that were asked for, by (backbone, image size, precision)."""
        return dict(self._speeds)

    def speed(self, image_size: int, precision: str, backbone: str | None = None) -> Speed:
        """Of a backbone by name; without one, the study's."""
        key = backbone or self._planned.study.config.backbone, image_size, precision
        if key not in self._speeds:
            self._speeds[key] = speed(self.table, self.name, self._planned.backbone(key[0]), image_size, precision)
        return self._speeds[key]

    def devices(self, job: Job, available: float = math.inf) -> int:
        """The devices that a job takes of those that exist: Snakemake lowers what a job asks for to that."""
        return int(min(job.threads if self.is_cpu else job.devices, available))

    def seconds(self, job: Job, available: float = math.inf) -> float:
        """From the start of a job to its end."""
        sharing = 1 if self.is_cpu else max(1, self.devices(job, available))
        if job.work.trained and sharing > 1:
            sharing = usable_gpus(self._planned.recipe(job.work.backbone), sharing)
        seconds = self.device.start_seconds + self.operation_seconds(job.work.operations) + self._writing(job)
        if job.work.trained:
            seconds += self.training_seconds(job.work.trained, job, sharing)
        if job.work.read:  # a job that trains reads with one device, at its end
            seconds += self.reading_seconds(job.work.read, job.work.image_size, job.work.backbone) / (
                1 if job.work.trained else sharing
            )
        return seconds

    def device_seconds(self, job: Job, available: float = math.inf) -> float:
        """Seconds of all its devices together."""
        return self.devices(job, available) * self.seconds(job, available)

    def training_seconds(self, images: int, job: Job, devices: int) -> float:
        """Of a job that trains on so many devices together; each doubling gives 2 x scaling times the speed."""
        one = self.speed(job.work.image_size, job.work.precision, job.work.backbone)
        speed: float = one.training * devices * one.scaling ** math.log2(devices)
        return images / speed

    def reading_seconds(self, images: float, image_size: int, backbone: str | None = None) -> float:
        """Of forward passes on one device, which are float32 whatever trains."""
        return images / self.speed(image_size, "float32", backbone).extraction

    def operation_seconds(self, operations: float) -> float:
        """Of linear heads on one device."""
        return operations / (self.table.assumptions.probe_share * self.device.peak_tflops * 1e12)

    def _writing(self, job: Job) -> float:
        assumed = self.table.assumptions
        each = job.work.pixels / assumed.large_photograph / assumed.written_per_core + assumed.write_overhead
        return job.work.written * each / job.threads


def usable_gpus(pretrain: Pretrain, count: int) -> int:
    """The GPUs, at most ``count``, that can share a batch of the recipe (the config's block).

    The same as batch_shares.usable_processes, which imports torch; a test holds them equal.
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
