"""Line numbers beside the text; ghost lines and the rows after the end have none."""

from collections.abc import Callable

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.containers import WindowRenderInfo
from prompt_toolkit.layout.controls import UIContent
from prompt_toolkit.layout.margins import Margin

from autocoder.clients.editor.ghost_control import GhostContent


class LineNumbers(Margin):
    """A margin that numbers the buffer's lines, whatever is drawn between them."""

    def get_width(self, get_ui_content: Callable[[], UIContent]) -> int:
        content = get_ui_content()
        rows = content.rows.buffer_rows if isinstance(content, GhostContent) else 0
        return max(3, len(str(rows))) + 2

    def create_margin(
        self, window_render_info: WindowRenderInfo, width: int, height: int
    ) -> StyleAndTextTuples:
        content = window_render_info.ui_content
        assert isinstance(content, GhostContent)
        drawn: StyleAndTextTuples = []
        for row in window_render_info.displayed_lines:
            number = content.rows.number(row)
            current = row == content.rows.cursor.y
            style = "class:line-number.current" if current else "class:line-number"
            label = "" if number is None else str(number + 1)
            drawn += [(style, f"{label:>{width - 1}} "), ("", "\n")]
        return drawn
