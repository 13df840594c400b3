"""Online detection: which entity is other than usual, since when, under a budget of false alarms per hour."""

from analyzer.detection.alarms import Alarm, EntityName
from analyzer.detection.config import DetectionConfig
from analyzer.detection.detector import Detector

__all__ = ["Alarm", "DetectionConfig", "Detector", "EntityName"]
