"""Evidence: the record of one run on real hardware, as `mistral-operator verify` writes it. Frozen.

A record that passed makes exactly its combination `verified`. One of a stand-in, or one that failed, is no evidence.
"""

import re
from dataclasses import dataclass
from typing import Final

from mistral_operator.catalogue.reader import Reader

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What ran where, and who says so."""

    model: str
    repository: str
    revision: str
    engine: str
    engine_version: str
    accelerator: str
    machine_type: str
    devices: int
    tensor_parallel: int
    pipeline_parallel: int
    data_parallel: int
    expert_parallel: bool
    precision: str
    context_length: int
    date: str
    by: str
    summary: str
    """The result in a sentence."""

    @property
    def coupled_devices(self) -> int:
        """Devices that held one set of weights between them, as the planner counts them."""
        return self.tensor_parallel * self.pipeline_parallel * (self.data_parallel if self.expert_parallel else 1)


def parse_evidence(reader: Reader) -> Evidence:
    """Parse one file of `evidence/`; raise CatalogueError for what isn't evidence."""
    if reader.flag("stand_in"):
        raise reader.error("stand_in", "false: a stand-in proves nothing about hardware", True)
    if not reader.flag("passed"):
        raise reader.error("passed", "true: only a run that passed is evidence", False)
    run = reader.inner("run")
    return Evidence(
        model=run.text("model"),
        repository=run.text("repository"),
        revision=run.optional(run.text, "revision", ""),
        engine=run.text("engine"),
        engine_version=run.text("engine_version"),
        accelerator=run.text("accelerator"),
        machine_type=run.text("machine_type"),
        devices=run.whole("devices"),
        tensor_parallel=run.whole("tensor_parallel"),
        pipeline_parallel=run.whole("pipeline_parallel"),
        data_parallel=run.whole("data_parallel"),
        expert_parallel=run.flag("expert_parallel"),
        precision=run.text("precision"),
        context_length=run.whole("context_length"),
        date=_read_date(reader),
        by=reader.text("by"),
        summary=reader.text("summary"),
    )


def _read_date(reader: Reader) -> str:
    """A day that sorts as text: the newest record of a combination is the one that is told."""
    date = reader.text("date")
    if not _DATE.fullmatch(date):
        raise reader.error("date", "a day such as '2026-11-26'", date)
    return date
