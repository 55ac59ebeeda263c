"""Pixels to faces to embeddings, and people's crops to the confidences of attributes.

The default is dlib's detector and 128-d ResNet; any ONNX embedder takes its place with a few
lines of TOML beside it. Pillow, dlib and onnxruntime are imported where they are used, so that
this package imports without them. It sees faces, and belongs on the trusted side alone.
"""

from blindsight.vision.attribute_model import AttributeModel, PersonEmbedder, embed_people
from blindsight.vision.attribute_table import AttributeTable, read_attribute_table
from blindsight.vision.attribute_training import TrainedAttributes, train_attributes
from blindsight.vision.dlib_faces import DlibDetector, DlibEmbedder
from blindsight.vision.faces import Detector, Embedder, Face, FaceBox, FacePipeline, Landmarks
from blindsight.vision.folder import (
    EmbeddedPhoto,
    Photo,
    PhotoFolder,
    Rejection,
    RejectionReport,
    embed_folder,
    list_photos,
)
from blindsight.vision.images import Image, read_image
from blindsight.vision.live import LiveSettings
from blindsight.vision.mtcnn import MtcnnDetector
from blindsight.vision.onnx_embedder import OnnxEmbedder
from blindsight.vision.onnx_people import OnnxPersonEmbedder
from blindsight.vision.people import PeopleFolder, PersonImage, list_people
from blindsight.vision.people_features import features_of, person_features
from blindsight.vision.people_model import PeopleModel, WholeCrop
from blindsight.vision.registry import open_detector, open_embedder
from blindsight.vision.segments import Segmenter, VideoSegment, segments
from blindsight.vision.tracking import Sighting, Tracker, TrackingPolicy
from blindsight.vision.video import Frame, Source, frames

__all__ = [
    "AttributeModel",
    "AttributeTable",
    "Detector",
    "DlibDetector",
    "DlibEmbedder",
    "EmbeddedPhoto",
    "Embedder",
    "Face",
    "FaceBox",
    "FacePipeline",
    "Frame",
    "Image",
    "Landmarks",
    "LiveSettings",
    "MtcnnDetector",
    "OnnxEmbedder",
    "OnnxPersonEmbedder",
    "PeopleFolder",
    "PeopleModel",
    "PersonEmbedder",
    "PersonImage",
    "Photo",
    "PhotoFolder",
    "Rejection",
    "RejectionReport",
    "Segmenter",
    "Sighting",
    "Source",
    "Tracker",
    "TrackingPolicy",
    "TrainedAttributes",
    "VideoSegment",
    "WholeCrop",
    "embed_folder",
    "embed_people",
    "features_of",
    "frames",
    "list_people",
    "list_photos",
    "open_detector",
    "open_embedder",
    "person_features",
    "read_attribute_table",
    "read_image",
    "segments",
    "train_attributes",
]
