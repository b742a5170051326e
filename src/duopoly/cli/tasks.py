"""``duopoly tasks``: what can be learned, and how its world can change."""

import dataclasses

from duopoly.world.tasks.catalogue import LISTED


@dataclasses.dataclass(frozen=True)
class Tasks:
    """List the tasks."""


def act(_: Tasks) -> None:
    """Prints the tasks and their perturbations."""
    from rich.console import Console
    from rich.table import Table

    table = Table("task", "what it is")
    for row in LISTED:
        table.add_row(row.name, row.summary)
    Console().print(table)
    print("and any id in Gymnasium's registry with flat Box spaces, such as Pendulum-v1")
    changes = Table("task", "--perturb", "what changes while it is learned")
    for row in LISTED:
        for perturbation, summary in row.perturbations.items():
            changes.add_row(row.name, perturbation, summary)
    Console().print(changes)
