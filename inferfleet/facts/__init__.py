"""What hosts are asked: few questions, each answered in one round trip."""
