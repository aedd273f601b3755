"""Read queries, one module a subject; all of them are functions of this package.

Frames hold sessions as naive midnights (datetime64[ns]) and instants as aware UTC; rows are plain dicts. Every function
takes an open connection.
"""

from forecasting.store.frames import *
from forecasting.store.read.forecasts import *
from forecasting.store.read.inputs import *
from forecasting.store.read.runs import *
from forecasting.store.read.scores import *
