"""Bars with their extremes, as SVG: one group for each scenario, one bar for each client."""

import statistics

import figures

COLOURS = ("#1f77b4", "#9a9a9a", "#d0a24c", "#b5524a", "#7a5195", "#5b8c5a")
BAR, GAP, LEFT, TOP, HEIGHT, LINE = 22, 30, 60, 40, 220, 16


def bars(title, unit, scenarios, take):
    """scenarios: name -> runs. take(run): the number. The whisker goes from the smallest to the largest run."""
    groups = {}
    for name, runs in scenarios.items():
        taken = {client: figures.values(runs, client, take) for client in figures.clients(runs)}
        groups[name] = {client: list(found.values()) for client, found in taken.items() if found}
    groups = {name: group for name, group in groups.items() if group}
    if not groups:
        return None
    clients = list(dict.fromkeys(client for group in groups.values() for client in group))
    top = max(max(numbers) for group in groups.values() for numbers in group.values()) or 1
    body, x = [], LEFT + GAP
    for name, group in groups.items():
        body.append(_text(x, TOP + HEIGHT + LINE, name))
        for client, numbers in group.items():
            body.append(_bar(x, numbers, top, COLOURS[clients.index(client) % len(COLOURS)], client))
            x += BAR
        x += max(GAP, 7 * len(name) - BAR * len(group) + 10)
    legend = [_legend(row, client) for row, client in enumerate(clients)]
    return _document(title, unit, top, body + legend, max(x, 420), TOP + HEIGHT + LINE * (len(clients) + 3))


def _bar(x, numbers, top, colour, client):
    middle = statistics.median(numbers)
    low, high = (TOP + HEIGHT * (1 - number / top) for number in (min(numbers), max(numbers)))
    y = TOP + HEIGHT * (1 - middle / top)
    centre = x + BAR / 2 - 1
    return (f'<rect x="{x}" y="{y:.1f}" width="{BAR - 2}" height="{TOP + HEIGHT - y:.1f}" fill="{colour}"><title>{client}: {middle:.4g}'
            f'</title></rect><path d="M{centre} {low:.1f}V{high:.1f}" stroke="#222"/>')


def _legend(row, client):
    y = TOP + HEIGHT + LINE * (row + 2)
    return f'<rect x="{LEFT}" y="{y + 2}" width="10" height="10" fill="{COLOURS[row % len(COLOURS)]}"/>' + _text(LEFT + 16, y + 11, client)


def _document(title, unit, top, body, width, height):
    axis = []
    for part in range(5):
        y = TOP + HEIGHT * (1 - part / 4)
        axis.append(f'<path d="M{LEFT} {y:.1f}H{width}" stroke="#ddd"/>' + _text(LEFT - 6, y + 4, f"{top * part / 4:.3g}", "end"))
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{title}, {unit}</text>', *axis, *body, "</svg>", ""])


def _text(x, y, text, anchor="start"):
    return f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
