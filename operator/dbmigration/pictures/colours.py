"""One colour for each state, the same in every picture: pale ground, strong line, dark text; and the same turned round for the dark."""

from dataclasses import dataclass
from typing import Final

from dbmigration.api.states import State


@dataclass(frozen=True, slots=True)
class Colours:
    """As #rrggbb. `line` stands out against white and against `dark_fill`; the text on its ground has a contrast of 7 or more."""

    line: str
    fill: str
    text: str
    dark_fill: str
    dark_text: str


def colours_of(state: State | None) -> Colours:
    """None: no database was asked."""
    return _COLOURS[state]


_COLOURS: Final = {
    None: Colours("#57729e", "#ffffff", "#1f2328", "#161b22", "#e6edf3"),
    State.APPLIED: Colours("#2da44e", "#eefbf1", "#0f3d1c", "#12261a", "#c8f2d3"),
    State.APPLIED_UNVERIFIED: Colours("#bf8700", "#fff8e0", "#4a3400", "#2b2410", "#f6e3a8"),
    State.PENDING: Colours("#218bff", "#eaf5ff", "#0a3069", "#10233c", "#c8e1ff"),
    State.SKIPPED: Colours("#8c959f", "#f3f5f7", "#424a53", "#1c2128", "#b6bfc9"),
    State.FAILED: Colours("#cf222e", "#ffeff0", "#6a0f17", "#331316", "#ffd0d3"),
    State.ROLLED_BACK: Colours("#a04fd3", "#f8efff", "#441865", "#271737", "#e9d2f8"),
}
