"""The study of the Clustered-CAM paper, on breast ultrasound: docs/study.md."""
