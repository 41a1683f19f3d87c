"""How it looks: colours, type and corners, as options of Streamlit."""

INK = "#1c2434"
PAPER = "#ffffff"
MIST = "#f5f7fa"
LINE = "#c6ced8"
TEAL = "#0f6e72"

# Of this page's own making: an icon by name would be fetched from elsewhere.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="32" height="32">'
    f'<rect width="32" height="32" rx="8" fill="{TEAL}"/>'
    '<g stroke="#fff" stroke-width="2"><path d="M16 16 9 9M16 16l8-6M16 16l-3 9"/></g>'
    '<g fill="#fff"><circle cx="16" cy="16" r="4"/><circle cx="9" cy="9" r="2.5"/>'
    '<circle cx="24" cy="10" r="2.5"/><circle cx="13" cy="25" r="2.5"/></g></svg>'
)

WORDMARK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 130 32" width="130" height="32">'
    f'{ICON}<text x="42" y="22" font-family="sans-serif" font-size="18" font-weight="600" fill="{INK}">SutazAI</text>'
    "</svg>"
)

THEME: dict[str, object] = {
    "theme.base": "light",
    "theme.primaryColor": TEAL,
    "theme.backgroundColor": PAPER,
    "theme.secondaryBackgroundColor": MIST,
    "theme.textColor": INK,
    "theme.linkColor": TEAL,
    "theme.borderColor": LINE,
    "theme.showWidgetBorder": True,
    "theme.showSidebarBorder": True,
    "theme.paddingTop": "3rem",
    "theme.baseRadius": "0.5rem",
    "theme.buttonRadius": "0.5rem",
    "theme.baseFontSize": 15,
    "theme.headingFontSizes": ["1.75rem", "1.35rem", "1.1rem", "1rem", "0.95rem", "0.9rem"],
    "theme.headingFontWeights": [650, 600, 600, 600, 600, 600],
    "theme.codeFontSize": "0.85rem",
    "theme.codeBackgroundColor": MIST,
    "theme.codeTextColor": "#37415a",
    "theme.sidebar.backgroundColor": MIST,
    "theme.sidebar.secondaryBackgroundColor": PAPER,
    # Dark enough for text on their own tints: 4.5 to 1 and more.
    "theme.greenTextColor": "#14663a",
    "theme.redTextColor": "#a61b1b",
    "theme.blueTextColor": "#1d4f9c",
    "theme.orangeTextColor": "#8a4b08",
    "theme.violetTextColor": "#5b3a94",
    "theme.grayTextColor": "#4c5766",
}
