"""Plans as one HTML page that needs nothing besides itself: charts as SVG, no script, no request."""
