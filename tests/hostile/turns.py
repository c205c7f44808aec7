"""Chat templates: programs that a checkpoint brings along."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.case import Case, Harm, edited

WHY = "a process that never ends, or memory without end, whenever a prompt is put into it"
FINE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
BOUND = "chat template in .* (took more|broke off)"
CANNOT = "cannot write a user's turn|does not write|writes other things|writes more than"
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
REFUSED = {
    "centred in a thousand million": "{{ 'x' | center(4000000000) }}",
    "a format of a thousand million": "{{ '{:>4000000000}'.format('x') }}",
    "a width of a thousand million": "{{ '%01000000000d' % 1 }}",
    "loops in loops": LOOP,
    "loops that write": "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxx{% endfor %}{% endfor %}",
    "a text times ten thousand million": "{{ 'x' * 10000000000 }}",
    "doubled often": "{% set n = namespace(x='xxxx') %}{% for a in range(40) %}{% set n.x = n.x * 2 %}{% endfor %}",
    "a list times a thousand million": "{{ ([0] * 10000000000) | length }}",
    "a number of ten million digits": "{{ (9 ** 99999999) % 7 }}",
}
AT_A_TURN = {
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a broken line": "{% for %}",
    "a class behind a text": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "the globals of a function": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "a file": "{% include '/etc/passwd' %}",
    "an import": "{% import 'os' as os %}{{ os.system('id') }}",
    "an error": "{{ raise_exception('no') }}",
    "what is not there": "{{ nothing.at.all }}",
    "a division by nothing": "{{ 1 / 0 }}",
    "nothing at all": " ",
    "the text twice": FINE + FINE,
    "the text in capitals": "{{ messages[0]['content'] | upper }}",
    "something else around long texts": "{% if messages[0]['content'] | length > 10 %}!{% endif %}" + FINE,
    "a hundred thousand letters around it": "{% for a in range(99999) %}xx{% endfor %}" + FINE,
    "twenty million letters around it": "{{ 'x' * 20000000 }}" + FINE,
    "a loop for one text": "{% if 'braces' in messages[0]['content'] %}" + LOOP + "{% endif %}" + FINE,
    "gigabytes for one text": "{% if 'braces' in messages[0]['content'] %}{{ 'x' * 10000000000 }}{% endif %}" + FINE,
}
WRITES = {
    "plain": FINE,
    "its own words": "<|user|>" + FINE + "<|end|><|assistant|>",
    "a loop for a text that nobody asks": "{% if 'qqqq' in messages[0]['content'] %}" + LOOP + "{% endif %}" + FINE,
}


def settings(template: object) -> Harm:
    """A template in tokenizer_config.json."""
    return lambda folder: edited(folder / "base" / "tokenizer_config.json", chat_template=template)


def file(template: str) -> Harm:
    """A template in a file of its own."""
    return lambda folder: (folder / "base" / "chat_template.jinja").write_text(template)


def vast(folder: Path) -> None:
    """A template of three hundred megabytes."""
    with (folder / "base" / "chat_template.jinja").open("w") as opened:
        opened.truncate(300_000_000)


def cases() -> list[Case]:
    """All of them."""
    found = [Case(f"a template, {what}", WHY, settings(told), BOUND) for what, told in REFUSED.items()]
    found += [Case(f"a template's file, {what}", WHY, file(told), BOUND) for what, told in REFUSED.items()]
    found += [Case(f"a template, {what}", WHY, settings(told), "", CANNOT) for what, told in AT_A_TURN.items()]
    found += [Case(f"a template, {what}", WHY, settings(told)) for what, told in WRITES.items()]
    found += [
        Case("a template that is a number", WHY, settings(5), ""),
        Case("a template that is a list of numbers", WHY, settings([1]), "no tokenizer|the tokenizer|chat template"),
        Case("several templates", WHY, settings([{"name": "default", "template": LOOP}]), BOUND),
        Case("a vast template", WHY, vast, "chat_template.jinja .*bytes|took more|chat template"),
    ]
    return found
