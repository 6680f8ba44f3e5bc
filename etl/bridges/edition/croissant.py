"""croissant.json: the edition in the words that ML tools read (Croissant 1.1, JSON-LD).

A record set for each Parquet file that has rows, with what every column means.
"""

import json
from pathlib import Path
from typing import Any

from feature_atlas.etl.bridges.edition.credit import Credit, title
from feature_atlas.etl.bridges.edition.file_list import ListedFile
from feature_atlas.etl.bridges.edition.relations import Column, Relation
from feature_atlas.etl.bridges.exported_run import ExportedRun

TYPES = {
    "boolean": "sc:Boolean",
    "smallint": "sc:Integer",
    "integer": "sc:Integer",
    "bigint": "sc:Integer",
    "real": "sc:Float",
    "double precision": "sc:Float",
    "numeric": "sc:Float",
    "date": "sc:Date",
    "timestamp with time zone": "sc:DateTime",
}
"""Types of PostgreSQL; all others are text."""

FORMATS = {
    ".parquet": "application/x-parquet",
    ".duckdb": "application/vnd.duckdb",
    ".html": "text/html",
    ".cff": "application/yaml",
    ".md": "text/markdown",
}


def write_croissant(
    folder: Path, run: ExportedRun, said: Credit, tables: list[Relation], files: list[ListedFile]
) -> None:
    """Describe the files that are there, and the records in them."""
    filled = {file.path for file in files if file.rows}
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": title(run),
        "description": f"Every feature of {run.release} in {run.vlm}: what fine-tuning turned, "
        "what sees, what it means, which heads drive it, and what breaks without it.",
        "version": "1.0.0",
        "datePublished": run.published_at,
        "license": said.licence_url,
        "creator": [{"@type": "sc:Organization", "name": name} for name in said.authors],
        "url": f"urn:feature-atlas:{run.slug}",
        "citeAs": f"{', '.join(said.authors)}: {title(run)} ({run.published_at[:4]})",
        "distribution": [_file(file) for file in files],
        "recordSet": [_records(table) for table in tables if _path(table) in filled],
    }
    text = json.dumps(described, indent=1, ensure_ascii=False)
    (folder / "croissant.json").write_text(f"{text}\n", encoding="utf-8")


def _file(file: ListedFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": FORMATS[Path(file.path).suffix],
        "sha256": file.sha256,
    }


def _records(table: Relation) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": table.comment,
        "field": [_field(table, column) for column in table.columns],
    }


def _field(table: Relation, column: Column) -> dict[str, Any]:
    element = column.type.removesuffix("[]")
    is_list = {"isArray": True, "arrayShape": "-1"} if element != column.type else {}
    return {
        "@type": "cr:Field",
        "@id": f"{table.name}/{column.name}",
        "name": column.name,
        "description": column.comment,
        "dataType": TYPES.get(element, "sc:Text"),
        **is_list,
        "source": {"fileObject": {"@id": _path(table)}, "extract": {"column": column.name}},
    }


def _path(table: Relation) -> str:
    return f"parquet/{table.name}.parquet"


CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{
        word: f"cr:{word}"
        for word in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract"),
            *("field", "fileProperty", "fileObject", "fileSet", "format", "includes", "isArray"),
            *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
            *("references", "regex", "repeated", "replace", "samplingRate", "separator"),
            *("source", "subField", "transform"),
        )
    },
}
"""The context of the format, word for word; readers warn of any other."""
