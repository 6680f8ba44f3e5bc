"""Rows with texts and lists: a run in which every feature has examples and head attributions."""

from synthetic import D_SAE, atlas, load_run, run_folder

N_LAYERS = 3


def main() -> None:
    """Print rows by table and the seconds of each step."""
    # the made-up run gives examples to candidates and heads to survivors: here to all
    run_folder.N_ADAPTED = run_folder.N_CANDIDATES = run_folder.N_SURVIVORS = D_SAE
    with atlas() as (folder, engine):
        report = load_run(folder, engine, N_LAYERS * D_SAE)
    for table, rows in sorted(report.rows.items(), key=lambda item: -item[1]):
        print(f"  {table:<20} {rows:>12,}")
    for step, seconds in report.seconds.items():
        print(f"  {step:<20} {seconds:>12.1f} s")


if __name__ == "__main__":
    main()
