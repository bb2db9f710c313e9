"""The code blocks of README and documentation, and the programs that they make together."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

#: The first line of a block that is not to be copied alone.
CONTINUES = "# Continues the block above."


@dataclass(frozen=True)
class Block:
    """
    One fenced block.

    :param page: Its file, relative to the repository.
    :param line: The line of its opening fence.
    :param language: What stands behind that fence.
    :param code: What is between the fences.
    """

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(text: str, page: str) -> list[Block]:
    """:return: All fenced blocks of a page."""
    blocks: list[Block] = []
    opened: tuple[int, str] | None = None
    code: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("```"):
            code.append(line)
        elif opened is None:
            opened, code = (number, line.removeprefix("```").strip()), []
        else:
            blocks.append(Block(page, *opened, "\n".join(code) + "\n"))
            opened = None
    assert opened is None, f"{page}: the block of line {opened} has no end"
    return blocks


ALL_BLOCKS = [block for path in PAGES for block in blocks_of(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))]


def programs(blocks: list[Block]) -> list[Block]:
    """:return: The Python programs, each with the blocks of its page that continue it."""
    made: list[Block] = []
    for block in blocks:
        if block.language != "python":
            continue
        if block.code.startswith(CONTINUES):
            assert made, f"{block} continues nothing"
            assert made[-1].page == block.page, f"{block} continues nothing on its page"
            before = made.pop()
            block = Block(before.page, before.line, "python", before.code + block.code)
        made.append(block)
    return made


def commands(blocks: list[Block]) -> list[tuple[Block, str]]:
    """:return: The commands of all shell blocks, without their comments, each with its block."""
    found = []
    for block in blocks:
        if block.language == "bash":
            joined = block.code.replace("\\\n", " ")
            lines = (line.partition(" #")[0].strip() for line in joined.splitlines())
            found += [(block, line) for line in lines if line and not line.startswith("#")]
    return found
