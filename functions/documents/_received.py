"""What a document comes as, and what is kept of it."""

from uuid import UUID

from pydantic import Field

from functions.documents._given import COLLECTION, CollectionName, FormMetadata, GivenMetadata, Title, file_name_of
from shared.documents.formats import MEDIA_TYPES, media_type_of
from shared.errors import Invalid
from shared.payload import File, Payload
from shared.ports.documents import NewDocument


class TextDocument(Payload):
    """`text` is plain, or Markdown. Searches can filter by what `metadata` holds."""

    text: str = Field(min_length=1)
    title: Title | None = None
    collection: CollectionName = COLLECTION
    metadata: GivenMetadata = {}


class FileDocument(Payload):
    """`file`: text, Markdown, HTML, PDF or DOCX. `metadata` is JSON."""

    file: File
    title: Title | None = None
    collection: CollectionName = COLLECTION
    metadata: FormMetadata = {}


def new_document(given: TextDocument | FileDocument, user_id: UUID, document_id: UUID) -> tuple[NewDocument, bytes]:
    file_name, media_type = None, MEDIA_TYPES["markdown"]
    if isinstance(given, TextDocument):
        content = given.text.encode()
    else:
        content, file_name = given.file.content, file_name_of(given.file.file_name)
        media_type = media_type_of(content, file_name=file_name, media_type=given.file.content_type)
    if not content:
        raise Invalid("the file is empty", field="file")
    new = NewDocument(
        id=document_id,
        user_id=user_id,
        title=given.title,
        file_name=file_name,
        media_type=media_type,
        size_bytes=len(content),
        collection=given.collection,
        metadata=given.metadata,
    )
    return new, content
