"""everything/get-sum: two numbers added."""

from decimal import Decimal
from math import isinf

from pydantic import FiniteFloat

from shared.content import Content, text
from shared.errors import ToolError
from shared.function import tool
from shared.payload import Payload


class GetSum(Payload):
    a: FiniteFloat
    b: FiniteFloat


@tool(name="get-sum", effect="read", timeout_s=5)
async def get_sum(request: GetSum) -> Content:
    """Add two numbers, as 64-bit floating point adds them."""
    total = request.a + request.b
    if isinf(total):
        raise ToolError("the sum is beyond what a 64-bit number holds; use smaller numbers")
    return text(f"The sum of {_written(request.a)} and {_written(request.b)} is {_written(total)}.")


def _written(number: float) -> str:
    """The shortest digits that read back the same, in the notation that JavaScript would choose."""
    if number == 0:
        return "0"
    if 1e-6 <= abs(number) < 1e21:
        return format(Decimal(repr(number)), "f").removesuffix(".0")
    return repr(number).replace("e-0", "e-")
