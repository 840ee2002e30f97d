"""Pictures of runs and workloads. Each function returns a Matplotlib figure; `style.save` writes PNG and SVG."""
