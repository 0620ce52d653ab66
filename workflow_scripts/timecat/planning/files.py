"""The files of a planned study's jobs, for `make plan`, as the rules name them."""


def data_set_files(name: str, split: str) -> list[str]:
    """What write_dataset makes of a split."""
    start = f"results/data_sets/{name}/{split}"
    return [f"{start}.beton", f"{start}.beton.json", f"{start}.index.parquet", f"{start}.skipped.tsv"]


def data_set_inputs(name: str, *splits: str) -> list[str]:
    """What stages read of a data set."""
    return [path for split in splits for path in data_set_files(name, split)[:3]]


def checkpoint_files(study, w) -> list[str]:
    """What pretraining leaves of a seed at a step, or an import."""
    start = f"results/checkpoints/{w.source}/{w.backbone}/seed{w.seed}/step{w.step}"
    files = [f"{start}.safetensors", f"{start}.safetensors.json"]
    if w.backbone not in study.publications:
        files += [f"{start}.state.pt", f"{start}.state.pt.json", f"{start}.jsonl"]
    return files


def feature_folder(w) -> str:
    """Where the features of a checkpoint on a data set are."""
    return f"results/features/{w.source}/{w.backbone}/seed{w.seed}/step{w.step}/{w.data_set}"


def cell_files(study, w) -> list[str]:
    """What an arm leaves on a data set, however it is transferred."""
    metrics = study.cell_path(w.arm, w.data_set)
    start = metrics.removesuffix(".parquet")
    files = [metrics, f"{start}.predictions.parquet", f"{start}.predictions.parquet.json"]
    if study.arms[w.arm].transfer == "probe" and not study.is_for_evaluation(w.data_set):
        files += [f"{start}.heads.safetensors", f"{start}.heads.safetensors.json"]
    return files
