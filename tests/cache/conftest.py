"""What the tests of the cache share."""

from tests.cache.places import far, here, http_place, place, s3, s3_place, sftp_place, sshd, web

__all__ = ["far", "here", "http_place", "place", "s3", "s3_place", "sftp_place", "sshd", "web"]
