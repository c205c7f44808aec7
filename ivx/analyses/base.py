"""What an analysis is: one kind of question, its result, and everything that can be done with either.

Each folder here has one entry, a subclass of `Analysis`; `ivx.analyses.registry` lists them, and whatever depends on
the kind of a run asks its entry: the command line, the worker, the store, archives, exports and the pages. Nothing here
loads torch; what runs a model is imported by the method that does so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import pyarrow as pa

from ivx.engine.schema import KEY
from ivx.formats.plotted import Plotted
from ivx.formats.plotted import table as plotted_table
from ivx.patching import gate
from ivx.patching.table import Key
from ivx.request import BaseRequest

if TYPE_CHECKING:
    import altair as alt

    from ivx.engine.plan.forecast import Counted, Forecast
    from ivx.models.model import Model
    from ivx.patching.roles import Runs
    from ivx.tasks.samples import Samples

Json = dict[str, Any]
"""An object of JSON."""
Q = TypeVar("Q", bound=BaseRequest)
Q_co = TypeVar("Q_co", bound=BaseRequest, covariant=True)
R = TypeVar("R", bound="Result[Any]")

Progress = Callable[[R, int, int], None]
"""Called with the result so far, and how many of how many steps are done; what it raises ends the work."""
Answer = Callable[[BaseRequest], Any]
"""Returns the result of a request: read from the store, or computed."""


@dataclass(frozen=True, kw_only=True)
class Result(ABC, Generic[Q_co]):
    """The result of a request.

    Attributes:
        table: the rows, an Arrow table.
        layers: blocks of the model.
        receipt: what was asked, of which checkpoint, with which versions and checks; ready for JSON.
    """

    request: Q_co
    table: pa.Table
    layers: int
    receipt: Json

    @property
    def run_id(self) -> str:
        """Address of this result."""
        return str(self.receipt["run"])

    @property
    def work(self) -> tuple[float, float] | None:
        """How much of how much work is done, where a row's share of it is known; None where rows take alike."""
        return None

    @property
    @abstractmethod
    def figure_names(self) -> tuple[str, ...]:
        """The names of `figures`, known without drawing anything."""

    @abstractmethod
    def figures(self, metric: str = "contrast") -> dict[str, Json]:
        """The figures as they would be printed, a Vega-Lite spec by name; some results ignore the metric."""

    @abstractmethod
    def summary(self, metric: str = "contrast") -> Json:
        """The result in short, ready for JSON: the receipt, and the numbers that a reader looks for first."""

    @abstractmethod
    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time, figure by figure."""

    def plotted(self, metric: str = "contrast") -> pa.Table:
        """The same as a table (`ivx.formats.plotted.ROWS`): cell, mean, interval, p, control and verdict."""
        asked = self.request
        task = getattr(asked, "task", "") or ",".join(getattr(asked, "tasks", ()))
        return plotted_table(
            self.drawn(metric), checkpoint=str(self.receipt["checkpoint"]["name"]), task=task, run=self.run_id
        )

    def printed(self, metric: str = "contrast") -> dict[str, Json]:
        """The figures, each titled by what must be said first where the model does not do what it is told."""
        from ivx.charts.figure import noted

        said = gate.opening(self.receipt)
        return {name: noted(spec, said) for name, spec in self.figures(metric).items()}

    def _repr_mimebundle_(self, **asked: Any) -> dict[str, str]:
        """What a notebook shows of a result that ends a cell: its figures, drawn, which no network and no script need;
        and a line for where none can be."""
        from ivx.formats.pictures import svg

        told = f"{type(self).__name__} of {self.receipt['checkpoint']['name']}, run {self.run_id}"
        return {"image/svg+xml": svg(self.chart().to_dict()), "text/plain": told}

    def chart(self, metric: str = "contrast") -> alt.HConcatChart:
        """All figures side by side; a notebook draws it, `.save` writes it."""
        from ivx.charts.figure import beside

        return beside(list(self.printed(metric).values()))


@dataclass(frozen=True, kw_only=True)
class Saved(Generic[Q, R]):
    """How the results of one kind are kept, and read back without trusting what was kept.

    Attributes:
        result: their type.
        rows: columns of the table.
        context: names of the values stored beside the rows; `layers` is always there.
        write: returns the values of these names, ready for JSON.
        read: builds the result from request, context, rows and receipt; raises `IvxError` where these cannot be what
            was written.
        check: raises `IvxError` for rows or a receipt that no computation returned.
        key: columns that identify a row; of duplicates the first is kept.
        longest: most values in a cell of a list column.
    """

    result: type[R]
    rows: pa.Schema
    context: tuple[str, ...]
    write: Callable[[R], Json]
    read: Callable[[Q, Json, pa.Table, Json], R]
    check: Callable[[R], None]
    key: tuple[str, ...] = KEY
    longest: int = 100


@dataclass(frozen=True)
class Replayed:
    """Rows computed again: (role, site, patch, sample) of each, and its stored and new value of the quantity `what`.

    A probed place has the role `accuracy`, its address as patch and its number of wordings as sample; for a state the
    values are 0 and its distance from the stored one.
    """

    rows: tuple[Key, ...]
    stored: tuple[float, ...]
    again: tuple[float, ...]
    what: str = "logit"

    @property
    def largest(self) -> float:
        """Largest deviation."""
        return max((abs(a - b) for a, b in zip(self.stored, self.again, strict=True)), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Steps(Generic[Q, R]):
    """What runs a model; the module that holds it loads torch.

    Attributes:
        compute: runs a request on a loaded model: `(model, request, on_progress=, known=, beat=)`, and `given=` where
            the analysis needs other runs. `known` are rows from an earlier start, which are not computed again where
            that can be helped; `beat` is called where work goes on and there is nothing new to show, and what it raises
            ends the work.
        replay: computes some rows of a result again, drawn by chance, by the slow and obvious way: `(model, found,
            rows=, seed=, beat=)`, and `given=`; returns names, stored values and new ones. `beat` is called before
            each row, and what it raises ends the work.
        replayed: what the replayed values are.
        prompts: from request, samples and site to the prompts behind the rows, role by role; None where rows are not
            patched prompts with an address.
        cost: what a request will cost on a loaded model, told before it runs, or how many rows it has; None where
            neither is known.
        shared: the rows that a request has in common with a smaller result of its kind, under its own names; None where
            none can be taken over.
    """

    compute: Callable[..., R]
    replay: Callable[..., tuple[Sequence[Key], Sequence[float], Sequence[float]]]
    replayed: str = "logit"
    prompts: Callable[[Q, Samples, str], tuple[Runs, ...]] | None = None
    cost: Callable[[Model, Q], Forecast | Counted | None] = lambda model, request: None
    shared: Callable[[Model, Q, R], pa.Table | None] = lambda model, request, small: None


@dataclass(frozen=True)
class Words(Generic[R]):
    """What a result says, behind what must be said first where the model does not do what it is told.

    Attributes:
        summed: of a summary: the text for a terminal.
        under: of result, name of a figure, and metric: what stands under the printed figure, so that it can be read
            without this app; empty where nothing does.
    """

    summed: Callable[[Json], str]
    under: Callable[[R, str, str], str] = lambda found, figure, metric: ""

    def text(self, summary: Json) -> str:
        """A summary for a terminal."""
        return "\n".join(filter(None, [gate.opening(summary), self.summed(summary)]))

    def caption(self, found: R, figure: str, metric: str) -> str:
        """What stands under a printed figure; empty where nothing does."""
        return " ".join(filter(None, [gate.opening(found.receipt), self.under(found, figure, metric)]))


class Extra(NamedTuple):
    """An option of a command beyond the request's fields: its help, and the name of its value; None for a switch."""

    help: str
    metavar: str | None = None


class Analysis(ABC, Generic[Q, R]):
    """One kind of analysis: its request, its result, and where each step is done.

    Attributes:
        request: the request's type. Its `kind` names the analysis everywhere: run ids, addresses of pages, the command
            line, and `ivx.<kind>`.
        function: the function `ivx.<kind>`; its parameters are the fields of the request.
        title: what it shows, in half a sentence.
        page: the page that opens a stored run; None where no page does.
        elsewhere: where such a run is seen, when no page opens it.
        measured: whether its numbers are shown in a metric that the reader chooses.
        extras: options of its command beside the fields of the request, by name.
        told: whether its rows hold the told run of each sample, which some metrics need.
        published: whether it is an experiment of the paper, which its command can ask as the paper does, too.
    """

    request: ClassVar[type[BaseRequest]]
    function: Callable[..., R]
    title: ClassVar[str]
    page: ClassVar[str | None] = None
    elsewhere: ClassVar[str] = ""
    measured: ClassVar[bool] = True
    extras: ClassVar[Mapping[str, Extra]] = {}
    told: ClassVar[bool] = False
    published: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        """The name of the analysis."""
        return self.request.kind

    @property
    @abstractmethod
    def steps(self) -> Steps[Q, R]:
        """What runs a model; torch is loaded with it."""

    @property
    @abstractmethod
    def saved(self) -> Saved[Q, R]:
        """How results are kept."""

    @property
    @abstractmethod
    def words(self) -> Words[R]:
        """What results say."""

    def needs(self, request: Q) -> tuple[str, ...]:
        """Ids of the runs that must be in the store before a request can be computed."""
        return ()

    def summary(self, found: R, metric: str, *, answer: Answer, **extras: Any) -> Json:
        """The result in short, with the command's extras; `answer` computes what they need of other requests."""
        return found.summary(metric)

    def check_extras(self, **extras: Any) -> None:
        """Refuse extras of the command that cannot be had, before anything is computed; raises `IvxError`."""
        return

    def write(self, found: R, **extras: Any) -> None:
        """Write the files that extras of the command name."""
        return

    def compute(
        self,
        model: Model,
        request: Q,
        *,
        on_progress: Progress[R] | None = None,
        known: pa.Table | None = None,
        beat: Callable[[], None] = lambda: None,
        given: Sequence[Result[Any]] = (),
    ) -> R:
        """Run a request on a loaded model, as `Steps` says; `given` are the results of the runs that `needs` names."""
        taken = {"given": given} if given else {}
        return self.steps.compute(model, request, on_progress=on_progress, known=known, beat=beat, **taken)

    def replay(
        self,
        model: Model,
        found: R,
        *,
        rows: int,
        seed: int,
        beat: Callable[[], None] = lambda: None,
        given: Sequence[Result[Any]] = (),
    ) -> Replayed:
        """Compute some rows again, as `Steps` says."""
        taken = {"given": given} if given else {}
        names, stored, again = self.steps.replay(model, found, rows=rows, seed=seed, beat=beat, **taken)
        return Replayed(tuple(names), tuple(stored), tuple(again), self.steps.replayed)

    def answer(
        self,
        model: Model | str,
        request: Q,
        *,
        on_progress: Progress[R] | None = None,
        given: Sequence[Result[Any]] = (),
    ) -> R:
        """The result of a request on a loaded model, or on the checkpoint that it names, which is loaded."""
        if isinstance(model, str):
            from ivx.models.load import load

            model = load(model, **request.loading)
        return self.compute(model, request, on_progress=on_progress, given=given)


def name_of(model: Model | str) -> str:
    """The name of a checkpoint in a request."""
    return model if isinstance(model, str) else model.name


def names_of(names: Sequence[str]) -> tuple[str, ...]:
    """Names as a request holds them; one alone may be a plain string."""
    return (names,) if isinstance(names, str) else tuple(names)
