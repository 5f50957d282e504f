"""A small sample of code on which an export measures what quantisation costs, if none is given."""

SAMPLE = (
    '''"""Reading and writing of settings."""

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Settings:
    """What a user may choose; unknown keys are kept."""

    name: str
    width: int = 80
    colours: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """The settings as one line of text."""
        return json.dumps({"name": self.name, "width": self.width, "colours": self.colours})


def read_settings(path: Path) -> Settings:
    if not path.exists():
        raise FileNotFoundError(f"no settings at {path}")
    with path.open(encoding="utf-8") as file:
        data = json.load(file)
    return Settings(data["name"], int(data.get("width", 80)), list(data.get("colours", [])))


def factorial(n: int) -> int:
    result = 1
    for i in range(2, n + 1):
        result *= i
    return result


def mean(values: list[float]) -> float:
    """The arithmetic mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


if __name__ == "__main__":
    settings = Settings("default")
    for number in range(10):
        print(number, factorial(number), settings.width)
'''
    + """
package example.queue;

import java.util.ArrayList;
import java.util.List;

/** A queue of bounded size. */
public class BoundedQueue<T> {
    private final List<T> items = new ArrayList<>();
    private final int capacity;

    public BoundedQueue(int capacity) {
        this.capacity = capacity;
    }

    public boolean offer(T item) {
        if (items.size() >= capacity) {
            return false;
        }
        items.add(item);
        return true;
    }

    public T poll() {
        return items.isEmpty() ? null : items.remove(0);
    }

    public int size() {
        return items.size();
    }
}
"""
)
