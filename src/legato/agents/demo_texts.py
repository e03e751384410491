"""What the demo agent says."""

from typing import Final

INTRODUCTION: Final = (
    "This is the demo agent: scripted and offline, no model answers here. "
    "It is chosen while no provider is configured. "
    "Tell me your name, or type /help to see what I can show."
)

HELP: Final = """\
This is the demo agent, scripted and offline. It remembers your name ("my name is …"), counts messages, and shows:

- `/long [words] [per second]`: numbered words (300 at 20 a second), so that a lost or doubled one is seen
- `/tool`: a tool call and its result
- `/approve`: a question; steer with *yes* or *no* within a minute
- `/steer`: a long answer in steps that takes steering messages between them
- `/reason`: thoughts before the answer
- `/markdown`: headings, code, a table, maths
- `/fail`: some text, then the provider fails
- `/stall`: some text, then silence until you stop it
"""

THOUGHTS: Final = (
    "The question asks for reasoning to be seen. "
    "First the thoughts, then the answer; they are kept in different parts. "
    "Thoughts are shown to people and never sent back to a model. "
)

MARKDOWN: Final = """\
# A heading

Some **bold**, some *italic*, some `code`, and a [link](https://example.com).

1. one
2. two
   - nested

```python
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
```

| wine | year | stars |
|---|---:|:---:|
| Barolo | 2016 | ★★★★★ |
| Riesling | 2021 | ★★★★ |

> A quotation, with “quotes” and an em dash — here.

Euler: $e^{i\\pi} + 1 = 0$, and 日本語, русский, emoji 👩‍👩‍👧‍👦.
"""
